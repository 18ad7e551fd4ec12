import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineSettings, readSettings, secret, text } from "../src/settings";
import { settingsReference } from "../src/settings-reference";
import { unknownSettings } from "../src/unknown-settings";

const definitions = defineSettings({
  password: secret("ASSAY_TEST_PASSWORD", { length_min: 8, doc: "Password." }),
  user: text("ASSAY_TEST_USER", { default: "assay", doc: "User." }),
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-secret-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function fileWith(content: string): string {
  const file = join(folder, "password");
  writeFileSync(file, content);
  return file;
}

describe("a secret in a file", () => {
  test.each([
    ["as it is", "correct horse"],
    ["without the newline at its end", "correct horse\n"],
    ["without the line end of another system", "correct horse\r\n"],
  ])("is read %s", (_, content) => {
    const read = readSettings(definitions, { ASSAY_TEST_PASSWORD_FILE: fileWith(content) });
    expect(read).toEqual({ ok: true, settings: { password: "correct horse", user: "assay" } });
  });

  test("keeps blanks and lines inside, which may be part of it", () => {
    const read = readSettings(definitions, { ASSAY_TEST_PASSWORD_FILE: fileWith(" two lines\nand a blank \n\n") });
    expect(read).toMatchObject({ ok: true, settings: { password: " two lines\nand a blank \n" } });
  });

  test("is judged like one in the variable, and never shown", () => {
    const read = readSettings(definitions, { ASSAY_TEST_PASSWORD_FILE: fileWith("hunter2\n") });
    expect(read).toEqual({ ok: false, problems: ["ASSAY_TEST_PASSWORD has 7 characters, below the limit of 8"] });
  });

  test.each([
    ["is missing", () => join(folder, "nowhere"), "which can't be read (ENOENT)"],
    ["is a folder", () => folder, "which can't be read (EISDIR)"],
    ["is empty", () => fileWith("\n"), "which is empty"],
    ["is no secret at all", () => fileWith("x".repeat(16_385)), "which has 16385 bytes, above the limit of 16384 bytes"],
  ])("whose file %s is a problem that names the file", (_, file, what) => {
    const path = file();
    const read = readSettings(definitions, { ASSAY_TEST_PASSWORD_FILE: path });
    expect(read).toEqual({
      ok: false,
      problems: [`ASSAY_TEST_PASSWORD can't be read: ASSAY_TEST_PASSWORD_FILE is "${path}", ${what}`],
    });
  });

  test("beside the variable is a problem: which of them holds can't be known", () => {
    const env = { ASSAY_TEST_PASSWORD: "hunter2hunter2", ASSAY_TEST_PASSWORD_FILE: fileWith("correct horse") };
    expect(readSettings(definitions, env)).toEqual({
      ok: false,
      problems: ["ASSAY_TEST_PASSWORD and ASSAY_TEST_PASSWORD_FILE are both set; one of them says it"],
    });
    expect(readSettings(definitions, { ...env, ASSAY_TEST_PASSWORD: "" })).toMatchObject({
      ok: true,
      settings: { password: "correct horse" },
    });
  });

  test("is known by its variable; only a secret has one", () => {
    const env = { ASSAY_TEST_PASSWORD_FILE: "/run/secrets/password", ASSAY_TEST_USER_FILE: "/run/secrets/user" };
    expect(unknownSettings(env, [definitions])).toEqual(["ASSAY_TEST_USER_FILE is not a setting of Assay"]);
  });

  test("stands in the reference", () => {
    expect(settingsReference([{ title: "Test", definitions }])).toContain("`<VARIABLE>_FILE` names it");
  });
});
