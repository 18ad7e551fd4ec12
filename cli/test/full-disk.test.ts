/** On a full disk: what of it is told apart, and an `assay up` on a small file system of its own (built code). */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasNoRoom, isDiskFull } from "@assay/cli/embedded/disk-full";
import { DiskFullError } from "@assay/store/disk-full";
import { StoreFullError } from "@assay/store/retry";
import { LogFullError } from "@assay/stream/log";

const no_space = Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
const round = new Error("round");
round.cause = round;

test.each([
  ["the system's", no_space, true],
  ["the engine's", new DiskFullError("full"), true],
  ["the store's", new StoreFullError("full"), true],
  ["the log's, of its file system", new LogFullError("full", { cause: new Error("No space left on device") }), true],
  ["the log's own limit", new LogFullError("full"), false],
  ["what came of a full disk", new Error("no checkpoint", { cause: no_space }), true],
  ["another", new Error("full"), false],
  ["one that is its own cause", round, false],
  ["no error", "full", false],
])("of a full disk or not: %s", (_name, error, expected) => {
  expect(isDiskFull(error)).toBe(expected);
});

test("a disk with room is no full one", () => {
  expect(hasNoRoom(tmpdir())).toBe(false);
});

const mountable = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "tmpfs", tmpdir()]).status === 0;
const testWithMounts = mountable ? test : test.skip;

testWithMounts(
  "assay up says that the disk is full, waits, and goes on once there is room (needs the right to mount a small file system)",
  () => {
    const directory = mkdtempSync(join(tmpdir(), "assay-full-"));
    try {
      const script = 'mount -t tmpfs -o size=200m tmpfs "$1" && exec "$2" "$3" "$1"';
      const program = join(__dirname, "fixtures/full-disk.js");
      const { stdout } = spawnSync("unshare", ["-rm", "sh", "-c", script, "sh", directory, process.execPath, program], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "inherit"],
      });
      const said = JSON.parse(stdout) as Record<string, unknown>;
      const full = `the disk that holds ${directory}/data is full`;
      const config = `${directory}/data/services/clickhouse/config.xml`;
      expect(said.engine).toContain(
        `warning: ${full}: the ClickHouse engine is down, and is tried again until there is room (the disk is full: no room for ${config})`,
      );
      expect(said.engine).toContain("\nthere is room on the disk again for the ClickHouse engine\n");
      expect(said.services).toContain(`warning: ${full}: the services process is down, and is tried again until there is room`);
      // The live line:
      expect(said.services).toMatch(new RegExp(`^\\S+ · ${full}: the services process is down, .*no room for ${config}`, "m"));
      expect(said.exit_code).toBe(0);
      expect(said.refused).toMatch(
        new RegExp(`^assay: can't start: the disk that holds ${directory}/data is full \\(ENOSPC: .*\\)$`, "m"),
      );
      expect(said.refused_exit_code).toBe(1);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  180_000,
);
