import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repairDeduplicationLogs, withdrawals } from "../src/deduplication-logs";

describe("withdrawals", () => {
  it("withdraws tokens whose part never came into place", () => {
    const log = "1\t202411_1_1_0\tfirst\n1\t202411_2_2_0\tsecond\n";
    expect(withdrawals(log, ["202411_1_1_0", "tmp_insert_202411_2_2_0", "detached", "deduplication_logs"])).toEqual([
      "2\t202411_2_2_0\tsecond\n",
    ]);
  });

  it("keeps tokens whose part was merged into another of its partition", () => {
    const log = "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n1\tother_2_2_0\tc\n";
    expect(withdrawals(log, ["all_1_3_1", "all_1_2_1_9"])).toEqual(["2\tother_2_2_0\tc\n"]);
  });

  it("leaves alone what was withdrawn already", () => {
    expect(withdrawals("1\tall_1_1_0\ta\n2\tall_1_1_0\ta\n", [])).toEqual([]);
    expect(withdrawals("1\tall_1_1_0\ta\n2\tall_1_1_0\ta\n1\tall_2_2_0\ta\n", [])).toEqual(["2\tall_2_2_0\ta\n"]);
  });

  it("ignores what is no record", () => {
    expect(withdrawals("\n1\tall_1_1_0\ta\n1\tall_2", ["all_1_1_0"])).toEqual([]);
  });
});

describe("repairDeduplicationLogs", () => {
  let engine_path: string;
  beforeEach(() => {
    engine_path = mkdtempSync(join(tmpdir(), "assay-deduplication-"));
  });
  afterEach(() => rmSync(engine_path, { recursive: true }));

  it("appends to the newest log of each table, once, after what is complete of it", () => {
    const table = join(engine_path, "store/1ca/1caa5460-a32f-45ca-aa44-ff2d8c546c07");
    const logs = join(table, "deduplication_logs");
    mkdirSync(join(table, "all_1_1_0"), { recursive: true });
    mkdirSync(join(engine_path, "store/2aa/2aa00000-a32f-45ca-aa44-ff2d8c546c07"), { recursive: true });
    mkdirSync(logs);
    writeFileSync(join(logs, "deduplication_log_9.txt"), "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n");
    writeFileSync(join(logs, "deduplication_log_10.txt"), "1\tall_3_3_0\tc\n1\tall_4_4");
    expect(repairDeduplicationLogs(engine_path)).toBe(2);
    expect(repairDeduplicationLogs(engine_path)).toBe(0);
    expect(readFileSync(join(logs, "deduplication_log_10.txt"), "utf8")).toBe(
      "1\tall_3_3_0\tc\n2\tall_2_2_0\tb\n2\tall_3_3_0\tc\n",
    );
    expect(readFileSync(join(logs, "deduplication_log_9.txt"), "utf8")).toBe("1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n");
  });

  it("has nothing to do in a new store", () => {
    expect(repairDeduplicationLogs(engine_path)).toBe(0);
  });
});
