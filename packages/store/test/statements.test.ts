import { statements } from "../src/statements";

const cases: readonly (readonly [string, string, readonly string[]])[] = [
  ["several statements", "SELECT 1;\nSELECT 2;\n", ["SELECT 1", "SELECT 2"]],
  ["a last one without a semicolon", "SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]],
  ["semicolons in strings and names", "SELECT ';', `a;b`, \"c;d\"; SELECT 2", ["SELECT ';', `a;b`, \"c;d\"", "SELECT 2"]],
  [
    "quotes within strings",
    "SELECT 'it''s; fine', 'it\\'s; fine'; SELECT 2",
    ["SELECT 'it''s; fine', 'it\\'s; fine'", "SELECT 2"],
  ],
  ["comments", "-- one; it's\nSELECT 1 /* two; */ + 1; -- end", ["SELECT 1   + 1"]],
  ["comment marks in strings", "SELECT '--', '/*'; SELECT 2", ["SELECT '--', '/*'", "SELECT 2"]],
  ["nothing", " ;; \n-- only this", []],
];

describe("statements", () => {
  it.each(cases)("cuts %s", (_name, sql, expected) => {
    expect(statements(sql)).toEqual(expected);
  });

  it("refuses what ends within a string or a comment", () => {
    expect(() => statements("SELECT 'abc")).toThrow("SQL ends within what begins with: 'abc");
    expect(() => statements("SELECT 1 /* abc")).toThrow("SQL ends within what begins with: /* abc");
  });
});
