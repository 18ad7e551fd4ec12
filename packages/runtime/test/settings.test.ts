import {
  defineSettings,
  duration_ms,
  flag,
  integer,
  oneOf,
  optionalPath,
  optionalUrl,
  path,
  readSettings,
  secret,
  text,
  url,
} from "../src/settings";
import { settingsReference } from "../src/settings-reference";
import { unknownSettings } from "../src/unknown-settings";

const definitions = defineSettings({
  port: integer("ASSAY_TEST_PORT", { default: 8080, min: 0, max: 65_535, doc: "Port." }),
  window_ms: duration_ms("ASSAY_WINDOW_MS", { default: 60_000, min: 1_000, max: 3_600_000, doc: "Length of a window." }),
  lateness_ms: duration_ms("ASSAY_LATENESS_MS", { default: 30_000, min: 0, max: 3_600_000, doc: "Allowed lateness." }),
  store: url("ASSAY_STORE_URL", { default: "http://127.0.0.1:8123", protocols: ["http:", "https:"], doc: "The store." }),
  registry: optionalUrl("ASSAY_REGISTRY_URL", { protocols: ["https:"], doc: "Registry." }),
  data: path("ASSAY_DATA_DIR", { default: "data", doc: "Where data is kept." }),
  ca: optionalPath("ASSAY_CA_FILE", { doc: "CA." }),
  label: text("ASSAY_LABEL", { default: "a", length_max: 4, pattern: /^[a-z]+$/, form: "lower-case letters", doc: "A | label." }),
  password: secret("ASSAY_PASSWORD", { length_min: 8, doc: "Password." }),
  watch: flag("ASSAY_WATCH", { default: true, doc: "Whether to watch." }),
  mode: oneOf("ASSAY_MODE", { values: ["embedded", "distributed"], default: "embedded", doc: "How it runs." }),
});

const lateness = {
  between: ["window_ms", "lateness_ms"] as const,
  problem: (s: { window_ms: number; lateness_ms: number }) =>
    s.window_ms < s.lateness_ms
      ? `window of ${s.window_ms} ms is shorter than the allowed lateness of ${s.lateness_ms} ms (ASSAY_LATENESS_MS)`
      : undefined,
};

describe("readSettings", () => {
  test("gives typed, frozen values and the defaults", () => {
    const read = readSettings(definitions, {
      ASSAY_TEST_PORT: "9000",
      ASSAY_WATCH: "false",
      ASSAY_MODE: "distributed",
      ASSAY_LABEL: "",
    });
    if (!read.ok) throw new Error(read.problems.join());
    const port: number = read.settings.port;
    const mode: "embedded" | "distributed" = read.settings.mode;
    expect({ port, mode }).toEqual({ port: 9000, mode: "distributed" });
    expect(read.settings).toMatchObject({ watch: false, label: "a", store: "http://127.0.0.1:8123", registry: undefined });
    expect(read.settings.data).toMatch(/^\/.*\/data$/);
    expect(Object.isFrozen(read.settings)).toBe(true);
  });

  test("tells all problems at once, with the value, the limit and the setting", () => {
    const read = readSettings(
      definitions,
      {
        ASSAY_TEST_PORT: "70000",
        ASSAY_WINDOW_MS: "90000",
        ASSAY_LATENESS_MS: "120000",
        ASSAY_STORE_URL: "ftp://127.0.0.1",
        ASSAY_REGISTRY_URL: "nowhere",
        ASSAY_LABEL: "ABC",
        ASSAY_PASSWORD: "hunter2",
        ASSAY_WATCH: "maybe",
        ASSAY_MODE: "both",
      },
      [lateness],
    );
    expect(read).toEqual({
      ok: false,
      problems: [
        "ASSAY_TEST_PORT is 70000, above the limit of 65535",
        "ASSAY_STORE_URL has the protocol ftp:, not http: or https:",
        'ASSAY_REGISTRY_URL is "nowhere", not a URL',
        'ASSAY_LABEL is "ABC", not lower-case letters',
        "ASSAY_PASSWORD has 7 characters, below the limit of 8",
        'ASSAY_WATCH is "maybe", neither true nor false',
        'ASSAY_MODE is "both", not one of embedded, distributed',
        "window of 90000 ms is shorter than the allowed lateness of 120000 ms (ASSAY_LATENESS_MS)",
      ],
    });
  });

  test("leaves out a relation between values that could not be read", () => {
    const read = readSettings(definitions, { ASSAY_WINDOW_MS: "1e3", ASSAY_LATENESS_MS: "120000" }, [lateness]);
    expect(read).toEqual({ ok: false, problems: ['ASSAY_WINDOW_MS is "1e3", not a whole number'] });
  });

  test("asks for what has no default", () => {
    const required = defineSettings({ port: integer("ASSAY_PORT", { min: 1, max: 9, doc: "Port." }) });
    expect(readSettings(required, {})).toEqual({
      ok: false,
      problems: ["ASSAY_PORT is not set, and has no default (integer, 1 to 9)"],
    });
  });

  test("refuses a URL that holds a user or a password, and shows neither", () => {
    for (const given of ["http://assay:hunter2@store:8123", "http://hunter2@store:8123"]) {
      const read = readSettings(definitions, { ASSAY_STORE_URL: given });
      const problems = read.ok ? [] : read.problems.filter((problem) => problem.includes("STORE_URL"));
      expect(problems).toEqual(["ASSAY_STORE_URL holds a user or a password, and a URL is shown where it is used"]);
    }
  });

  test("never shows the password of a URL that it can't parse", () => {
    const read = readSettings(definitions, { ASSAY_STORE_URL: "http://assay:hunter2@:port" });
    expect(JSON.stringify(read)).not.toContain("hunter2");
  });
});

describe("unknownSettings", () => {
  test("names the nearest known setting, and says nothing of other variables", () => {
    const env = { ASSAY_TEST_PROT: "1", ASSAY_WINDOW_MS: "1000", ASSAY_SOMETHING_ELSE_ALTOGETHER: "1", PATH: "/bin" };
    expect(unknownSettings(env, [definitions])).toEqual([
      "ASSAY_SOMETHING_ELSE_ALTOGETHER is not a setting of Assay",
      "ASSAY_TEST_PROT is not a setting of Assay; did you mean ASSAY_TEST_PORT?",
    ]);
  });
});

describe("settingsReference", () => {
  test("has a row for each setting, sorted, and doesn't break its table", () => {
    const page = settingsReference([{ title: "Test", doc: "For tests.", definitions }]);
    expect(page).toContain("## Test\n\nFor tests.\n\n| variable |");
    expect(page).toContain("| `ASSAY_TEST_PORT` | integer, 0 to 65535 | `8080` | Port. |");
    expect(page).toContain("| `ASSAY_LABEL` | lower-case letters | `a` | A \\| label. |");
    expect(page).toContain("| `ASSAY_PASSWORD` | secret, at least 8 characters | none | Password. |");
    expect(page.indexOf("ASSAY_CA_FILE")).toBeLessThan(page.indexOf("ASSAY_WATCH"));
  });

  test("does not depend on where it is drawn", () => {
    expect(settingsReference([{ title: "Test", definitions }])).toContain("| `ASSAY_DATA_DIR` | path | `data` |");
  });
});
