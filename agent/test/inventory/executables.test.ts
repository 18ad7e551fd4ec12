import { chmodSync, copyFileSync, mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { ProcessTable } from "@assay/agent/collect/process-table";
import { Executables } from "@assay/agent/inventory/executables";
import { AccountNames } from "@assay/agent/read/account-names";
import { FakeProc } from "../collect/fake-proc";
import { link, temporaryFolder, write } from "../temporary";

const nobody = new Set<number>();
const shell = realpathSync("/bin/sh");

function host() {
  const proc = new FakeProc();
  // The agent's own root, against which others are compared.
  proc.run({ pid: process.pid, name: "agent" });
  link(proc.root, `${process.pid}/root`, "/");
  const accounts = new AccountNames("", Date.now);
  const table = new ProcessTable({ proc: proc.reader, names: accounts, mark: () => "", boot_ms: 0, agent_pid: process.pid });
  const subject = new Executables({ proc: proc.reader, table, accounts });
  return {
    run(pid: number, image: string, { uid = 0, args = [image], maps = [] as string[] } = {}) {
      proc.run({ pid, uid, name: "p", args, image });
      link(proc.root, `${pid}/root`, "/");
      write(proc.root, { [`${pid}/maps`]: maps.map((path) => `1-2 r-xp 0 fe:00 77   ${path}\n`).join("") });
      table.get(pid);
    },
    async collect() {
      return subject.collect(nobody);
    },
  };
}

/** Below a folder that nobody else may write, apart from what the test allows. */
function code(): string {
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "bin"));
  copyFileSync(shell, join(folder, "bin", "tool"));
  chmodSync(join(folder, "bin", "tool"), 0o755);
  return folder;
}

it("tells each executable once, with who runs it", async () => {
  const { run, collect } = host();
  run(10, shell, { uid: 0, args: ["sh", "one"] });
  run(11, shell, { uid: 12_345, args: ["sh", "two"] });
  const { status, content } = await collect();
  expect(status).toBe("collected");
  expect(content.executables).toEqual([
    expect.objectContaining({
      path: shell,
      deleted: false,
      users: ["12345", "root"],
      runs_as_root: true,
      command_line: "sh one",
      format: "elf",
      hardening: expect.objectContaining({ nx: true, pie: true }),
    }),
  ]);
});

it("tells what is no ELF file, and counts what can't be read", async () => {
  const folder = code();
  write(folder, { script: "#!/bin/sh\n" });
  const { run, collect } = host();
  run(10, join(folder, "script"));
  run(11, "/nowhere/at/all");
  const { content } = await collect();
  expect(content.executables.map((e) => [e.format, e.hardening])).toEqual([["script", undefined]]);
  expect(content.unreadable).toBe(0); // it has ended meanwhile
});

it("finds code of root's that anybody may change: the file, or a folder above it", async () => {
  const folder = code();
  const tool = join(folder, "bin", "tool");
  write(folder, { "lib/a.so": "", "app/main.py": "" });
  chmodSync(join(folder, "lib", "a.so"), 0o666);
  chmodSync(join(folder, "app"), 0o777);
  const { run, collect } = host();
  run(10, tool, { maps: [tool, join(folder, "lib", "a.so")] });
  const [plain] = (await collect()).content.executables;
  const world = plain?.writable_code.filter((c) => c.writable_by === "world").map((c) => c.path);
  expect(world).toEqual([join(folder, "lib", "a.so")]);

  chmodSync(join(folder, "bin"), 0o777);
  const [loose] = (await collect()).content.executables;
  expect(loose?.writable_code.find((c) => c.path === tool)).toMatchObject({ writable_by: "world" });
});

it("finds the script that root's interpreter runs", async () => {
  const folder = code();
  const python = join(folder, "bin", "python3");
  copyFileSync(shell, python);
  write(folder, { "app/main.py": "" });
  chmodSync(join(folder, "app"), 0o777);
  const { run, collect } = host();
  run(10, python, { args: ["python3", "-u", join(folder, "app", "main.py")] });
  const [found] = (await collect()).content.executables;
  expect(found?.writable_code.find((c) => c.path.endsWith("main.py"))).toMatchObject({ writable_by: "world" });
});

it("asks it of root's processes only", async () => {
  const folder = code();
  chmodSync(join(folder, "bin"), 0o777);
  const { run, collect } = host();
  run(10, join(folder, "bin", "tool"), { uid: 1_000 });
  expect((await collect()).content.executables[0]?.writable_code).toEqual([]);
});
