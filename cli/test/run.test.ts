import { formatDuration, parseDuration, parseNames, parsePort } from "@assay/cli/arguments";
import { run } from "@assay/cli/run";
import { fakeIo } from "./fake-io";

const nothing = { ASSAY_DATA_DIR: "/nonexistent/assay" };

test.each([
  ["unknown command", ["watch"], /unknown command 'watch'/],
  ["unknown option", ["up", "--colour"], /unknown option '--colour'/],
  ["left-over argument", ["up", "now"], /too many arguments/],
  ["no command", [], /Usage: assay/],
  ["port that is no number", ["up", "--port", "http"], /a port is a number from 0 to 65535/],
  ["port past the last", ["up", "--port", "65536"], /a port is a number from 0 to 65535/],
  ["duration without a unit", ["assess", "--duration", "60"], /write a number and a unit, such as 60s, 15m, 1h or 1d/],
  ["duration below a minute", ["assess", "--duration", "59s"], /the shortest assessment takes 1m/],
  ["duration past the longest", ["assess", "--duration", "32d"], /the longest assessment takes 31d/],
  ["unknown format", ["assess", "--format", "xml"], /Allowed choices are table, json/],
  ["unknown severity", ["assess", "--fail-on", "bad"], /severities are critical, high, medium, low, informational/],
  ["no package names", ["assess", "--packages", ","], /write names, separated by commas/],
  ["service without a name", ["service"], /Usage: assay service/],
  ["unknown service", ["service", "console"], /unknown command 'console'/],
  ["wait without a unit", ["setup", "--wait", "30"], /write a number and a unit, such as 30s, 15m, 1h or 7d/],
  ["unknown action on topics", ["topics", "drop"], /unknown command 'drop'/],
  ["limit past the last", ["dead-letters", "list", "--limit", "10001"], /write a number from 1 to 10000/],
  ["dead letter without an id", ["dead-letters", "show"], /missing required argument 'id'/],
  ["reference without a directory", ["reference"], /missing required argument 'dir'/],
])("refuses %s with exit code 2", async (_name, argv, message) => {
  const io = fakeIo(nothing);
  expect(await run(argv, io)).toBe(2);
  expect(io.err()).toMatch(message);
  expect(io.out()).toBe("");
});

test.each([
  [["--help"]],
  [["up", "--help"]],
  [["assess", "--help"]],
  [["audit", "--help"]],
  [["setup", "--help"]],
  [["service", "--help"]],
  [["service", "correlator", "--help"]],
  [["topics", "--help"]],
  [["topics", "check", "--help"]],
  [["dead-letters", "--help"]],
  [["dead-letters", "list", "--help"]],
  [["dead-letters", "show", "--help"]],
  [["dead-letters", "replay", "--help"]],
  [["reference", "-h"]],
  [["help", "up"]],
])("%j prints help with an example and exits 0", async (argv) => {
  const io = fakeIo(nothing);
  expect(await run(argv, io)).toBe(0);
  expect(io.out()).toMatch(/^Usage: assay/);
  expect(io.out()).toMatch(/Examples?:\n {2}assay /);
  expect(io.err()).toBe("");
});

test("--version prints the version alone", async () => {
  const io = fakeIo();
  expect(await run(["--version"], io)).toBe(0);
  expect(io.out()).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("an unknown rule package is a usage error that lists those there are", async () => {
  const io = fakeIo(nothing);
  expect(await run(["assess", "--packages", "authentication,passwords"], io)).toBe(2);
  expect(io.err()).toMatch(/there is no rule package named passwords \(--packages\); there are .*authentication/);
});

test("settings that are wrong are told all at once, mistyped names too", async () => {
  const io = fakeIo({ ...nothing, ASSAY_INGEST_PORT: "x", ASSAY_METRICS_PORT: "70000", ASSAY_LATENES_MS: "1" });
  expect(await run(["up"], io)).toBe(1);
  expect(io.err()).toMatch(/3 settings are wrong/);
  expect(io.err()).toMatch(/ASSAY_INGEST_PORT is "x", not a whole number/);
  expect(io.err()).toMatch(/ASSAY_METRICS_PORT is 70000, above the limit of 65535/);
  expect(io.err()).toMatch(/ASSAY_LATENES_MS is not a setting of Assay; did you mean ASSAY_LATENESS_MS\?/);
});

test("an audit where there is no data says so", async () => {
  const io = fakeIo(nothing);
  expect(await run(["audit"], io)).toBe(1);
  expect(io.err()).toBe("assay: there is no data in /nonexistent/assay yet (--data, ASSAY_DATA_DIR)\n");
});

test("a report that could not be written is told before an hour of watching", async () => {
  const io = fakeIo(nothing);
  expect(await run(["assess", "--output", "/nonexistent/report.json"], io)).toBe(2);
  expect(io.err()).toMatch(/can't write the report to \/nonexistent\/report.json/);
});

test("durations, ports and names are parsed", () => {
  expect(["60s", "15m", "1h", "8h", "1d"].map(parseDuration)).toEqual([60_000, 900_000, 3_600_000, 28_800_000, 86_400_000]);
  expect([60_000, 90_000, 900_000, 86_400_000].map(formatDuration)).toEqual(["1m", "90s", "15m", "1d"]);
  expect([parsePort("0"), parsePort("65535")]).toEqual([0, 65_535]);
  expect(parseNames(" b, a,b ")).toEqual(["b", "a"]);
});
