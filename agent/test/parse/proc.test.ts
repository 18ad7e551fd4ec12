import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseMappedCode } from "@assay/agent/parse/maps";
import {
  parseArguments,
  parseBootTime,
  parseEffectiveUid,
  parseExecutableLink,
  parseProcStat,
  startTime,
} from "@assay/agent/parse/proc-stat";
import { scriptPath } from "@assay/agent/parse/script-path";
import { isNobody, parseEndpoint, parseSocketLink, parseSocketTable } from "@assay/agent/parse/socket-table";

const fixture = (name: string) => readFileSync(join(__dirname, "..", "fixtures", name), "utf8");

describe("/proc/<pid>/stat", () => {
  const tail = "S 7 10 10 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 263737 3133440 394 18446744073709551615";

  it("is read past names with spaces and parentheses", () => {
    expect(parseProcStat(`42 (tmux: a) (b)) ${tail}`)).toEqual({
      pid: 42,
      name: "tmux: a) (b)",
      state: "S",
      parent_pid: 7,
      kernel_thread: false,
      start_ticks: 263737,
    });
  });

  it("tells kernel threads", () => {
    expect(parseProcStat(`3 (kworker/0:1) ${tail.replace("4194304", String(0x00200000 | 0x40))}`)?.kernel_thread).toBe(true);
  });

  it("is nothing where it is cut", () => {
    expect(parseProcStat("42 (sh")).toBeUndefined();
    expect(parseProcStat("42 (sh) S 1")).toBeUndefined();
  });
});

it("takes the effective user", () => {
  expect(parseEffectiveUid("Name:\tsu\nUid:\t1000\t0\t0\t0\n")).toBe(0);
  expect(parseEffectiveUid("Name:\tsu\n")).toBeUndefined();
});

it("counts a start from the boot", () => {
  expect(parseBootTime("cpu 1 2\nbtime 1795503009\n")).toBe(1_795_503_009_000);
  expect(startTime(1_795_503_009_000, 263_737)).toBe(1_795_503_009_000 + 2_637_370);
});

it("tells deleted executables by the link", () => {
  expect(parseExecutableLink("/usr/bin/x (deleted)")).toEqual({ path: "/usr/bin/x", deleted: true });
  expect(parseExecutableLink("/usr/bin/x")).toEqual({ path: "/usr/bin/x", deleted: false });
});

it("cuts arguments at the NULs", () => {
  expect(parseArguments("sh\0-c\0a b\0")).toEqual(["sh", "-c", "a b"]);
  expect(parseArguments("nginx: master process\0\0\0")).toEqual(["nginx: master process"]);
  expect(parseArguments("")).toEqual([""]);
});

describe("socket tables", () => {
  it("IPv4", () => {
    const rows = parseSocketTable(fixture("proc-net-tcp.txt"));
    expect(rows.map((r) => [parseEndpoint(r.local), parseEndpoint(r.remote), r.state, r.uid, r.inode])).toEqual([
      [{ address: "0.0.0.0", port: 22 }, { address: "0.0.0.0", port: 0 }, 10, 0, 19211],
      [{ address: "127.0.0.1", port: 8080 }, { address: "0.0.0.0", port: 0 }, 10, 1000, 20345],
      [{ address: "192.0.2.2", port: 22 }, { address: "192.0.2.1", port: 52062 }, 1, 0, 21907],
      [{ address: "127.0.0.1", port: 40175 }, { address: "127.0.0.1", port: 48680 }, 6, 0, 0],
    ]);
    expect(rows.map((r) => isNobody(r.remote))).toEqual([true, true, false, false]);
  });

  it("IPv6, with IPv4 addresses in it as such", () => {
    const rows = parseSocketTable(fixture("proc-net-tcp6.txt"));
    expect(rows.map((r) => parseEndpoint(r.local))).toEqual([
      { address: "::", port: 22 },
      { address: "127.0.0.1", port: 8081 },
      { address: "2001:db8::1", port: 443 },
    ]);
  });

  it("in the byte order of big-endian machines", () => {
    expect(parseEndpoint("7F000001:0016", false)).toEqual({ address: "127.0.0.1", port: 22 });
  });

  it("is empty where there is only the heading", () => {
    expect(parseSocketTable("  sl  local_address rem_address   st\n")).toEqual([]);
    expect(parseSocketTable("")).toEqual([]);
  });

  it("links of descriptors", () => {
    expect(parseSocketLink("socket:[19211]")).toBe(19211);
    expect(parseSocketLink("pipe:[19211]")).toBeUndefined();
  });
});

it("lists files mapped as code, not those that are only read or gone", () => {
  const paths = parseMappedCode(fixture("proc-maps.txt"));
  expect(paths).toContain("/usr/bin/cat");
  expect(paths).toContain("/opt/app/lib/with space.so");
  expect(paths.join()).not.toMatch(/vdso|deleted|heap/);
});

describe("the script that an interpreter runs", () => {
  const cases: readonly (readonly [string, string, string | undefined])[] = [
    ["/usr/bin/python3.11", "python3 /srv/app.py --port 1", "/srv/app.py"],
    ["/usr/bin/python3.11", "python3 -u -W ignore app.py", "app.py"],
    ["/usr/bin/python3.11", "python3 -m http.server", undefined],
    ["/usr/bin/bash", "bash -c echo", undefined],
    ["/usr/bin/bash", "bash -lc echo", undefined],
    ["/usr/bin/dash", "sh -e /etc/init.d/x start", "/etc/init.d/x"],
    ["/usr/bin/bash", "-bash", undefined],
    ["/usr/bin/node", "node -r ts-node/register src/main.ts", "src/main.ts"],
    ["/usr/sbin/nginx", "nginx -c /etc/nginx.conf", undefined],
  ];
  it.each(cases)("%s: %s", (image, line, script) => {
    expect(scriptPath(image, line.split(" "))).toBe(script);
  });
});
