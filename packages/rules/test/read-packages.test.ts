import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadPackages } from "@assay/rules/load";
import { digestOf, readPackages } from "@assay/rules/read-packages";
import { ruleText } from "./sigma";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "assay-rules-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
}

const manifest = "name: mine\ntitle: My rules\nversion: 2.0.0\ndescription: Some.\n";
const rule = ruleText("s:\n  Image: x\ncondition: s");

test("a folder with a package.yml is a package, with all rule files below", async () => {
  write("a/package.yml", manifest);
  write("a/one.yml", rule);
  write("a/deep/two.yaml", rule);
  write("a/notes.txt", "not a rule");
  const [pack, ...more] = await readPackages(directory);
  expect(more).toEqual([]);
  expect(pack).toMatchObject({ name: "mine", version: "2.0.0" });
  expect(pack?.files.map((f) => f.path)).toEqual(["deep/two.yaml", "one.yml", "package.yml"]);
  const loaded = loadPackages(pack ? [pack] : []);
  expect("ruleset" in loaded && loaded.ruleset.packages).toMatchObject([
    { name: "mine", title: "My rules", description: "Some." },
  ]);
});

test("a folder without one is a package by its own name", async () => {
  write("Sigma Rules/x.yml", rule);
  const [pack] = await readPackages(directory);
  expect(pack).toMatchObject({ name: "sigma-rules", version: pack?.digest.slice(0, 12) });
});

test("folders without rules, and hidden ones, are none", async () => {
  write("empty/README.md", "");
  write(".git/x.yml", rule);
  expect(await readPackages(directory)).toEqual([]);
});

test("what is wrong with a package.yml is told with the rest", async () => {
  write("a/package.yml", "name: mine\ncolour: red\n");
  const result = loadPackages(await readPackages(directory));
  expect("problems" in result && result.problems.map((p) => `${p.file}:${p.line} ${p.message}`)).toEqual([
    "mine/package.yml:2 a package has no 'colour'; it has name, title, version, description",
    "mine/package.yml:1 the package lacks 'title'",
    "mine/package.yml:1 the package lacks 'version'",
    "mine/package.yml:1 the package lacks 'description'",
  ]);
});

describe("the digest", () => {
  const a = { path: "a", text: "1" };
  const b = { path: "b", text: "2" };

  test("is fixed", () => {
    expect(digestOf([a, b])).toBe("37664b19301f46515688d5a22cb9ee1852e0b6443e28c7f36340a13962f0c4f7");
  });

  test("depends on paths and texts, not on their order", () => {
    expect(digestOf([b, a])).toBe(digestOf([a, b]));
    expect(digestOf([a])).not.toBe(digestOf([{ ...a, path: "c" }]));
    expect(digestOf([{ path: "a", text: "1\0b\x002" }])).not.toBe(digestOf([a]));
  });
});
