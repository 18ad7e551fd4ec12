import { withdrawals } from "../src/deduplication-logs";

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

  it("ignores a record that was cut off", () => {
    expect(withdrawals("1\tall_1_1_0\ta\n1\tall_2", ["all_1_1_0"])).toEqual([]);
  });
});
