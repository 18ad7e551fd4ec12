import { loadPackages } from "@assay/rules/load";
import { formatProblem } from "@assay/rules/problem";
import { loaded, packageOf, problemsOf, ruleText } from "./sigma";

const plain = ruleText("s:\n  Image: x\ncondition: s");

describe("a plain Sigma rule", () => {
  test("gets defaults for what Sigma doesn't say", () => {
    expect(loaded(plain).rules[0]).toMatchObject({
      id: "tests/r0.yml",
      title: "a test",
      severity: "medium",
      category: "process_creation",
      product: "linux",
      service: undefined,
      scope: "event",
      identity: ["Image"],
      platforms: ["linux"],
      remediation: "",
      fields: ["Image"],
      source: "tests/r0.yml:3",
    });
  });

  test("keeps what it says", () => {
    const text = `id: 7a
author: Somebody
description: |
  What it finds.
level: High
tags: [attack.t1059]
references:
  - https://example.org/a
status: test
fields: [Image]
falsepositives: [none]
date: 2026-01-02
custom: { anything: [1, 2] }
${plain}`;
    expect(loaded(text).rules[0]).toMatchObject({
      id: "7a",
      author: "Somebody",
      description: "What it finds.",
      severity: "high",
      tags: ["attack.t1059"],
      references: ["https://example.org/a"],
    });
  });

  test("of a product that is no platform fits any platform", () => {
    const text = ruleText("k: [x]\ncondition: k", "logsource: { product: zeek, service: http }");
    expect(loaded(text).rules[0]).toMatchObject({ category: "", platforms: [], identity: [] });
  });
});

describe("problems", () => {
  test("are told all at once, with file, line and column", () => {
    const broken = ruleText("s:\n  A|contain: x\n  B|gt: '1'\ncondition: s or t", "level: severe\nlogsource: { category: x }");
    const result = loadPackages([packageOf(broken, plain, "title: [")]);
    if (!("problems" in result)) throw new Error("loaded");
    expect(result.problems.map(formatProblem)).toEqual([
      "tests/r0.yml:2:8: level must be one of critical, high, medium, low, informational, not 'severe'",
      expect.stringMatching(/^tests\/r0.yml:6:5: 'A\|contain': 'contain' is not a modifier; known are all, base64,/),
      "tests/r0.yml:7:11: 'B|gt': 'gt' needs a number, without quotes",
      "tests/r0.yml:8:14: the condition names 't', and there are s",
      expect.stringMatching(/^tests\/r2.yml:1:\d+: not valid YAML: /),
    ]);
  });

  test.each([
    ["a correlation rule", "title: x\ncorrelation:\n  type: event_count", "2: correlation rules are not supported yet"],
    ["a filter", "title: x\nfilter: {}", "2: Sigma filters are not supported yet"],
    ["a global action", "title: x\naction: global", "2: rule collections"],
    ["several documents", `${plain}\n---\n${plain}`, "rule collections (several documents in a file)"],
    ["another taxonomy", `taxonomy: ecs\n${plain}`, "1: the taxonomy 'ecs' is not supported"],
    ["an alias", `${plain}\nreferences: &r [a]\ntags: *r`, "YAML aliases"],
    ["a repeated key", `${plain}\ntitle: again`, "not valid YAML"],
    ["nothing", "", "the file must hold one rule"],
    ["a list", "- a", "the file must hold one rule"],
    ["no logsource", "title: x\ndetection:\n  k: [x]\n  condition: k", "the rule has no logsource"],
    ["an empty logsource", ruleText("k: [x]\ncondition: k", "logsource: { definition: x }"), "no category, product or service"],
    ["no detection", "title: x\nlogsource: { product: linux }", "the rule has no detection"],
    ["no condition", ruleText("s:\n  a: 1"), "the detection has no condition"],
    ["only a condition", ruleText("condition: s"), "nothing but a condition"],
    ["a timeframe", ruleText("s:\n  a: 1\ntimeframe: 5m\ncondition: s"), "'timeframe' belongs to Sigma 1's aggregations"],
    ["an empty map", ruleText("s: {}\ncondition: s"), "'s' is an empty map"],
    ["an empty list", ruleText("s: []\ncondition: s"), "'s' is an empty list"],
    ["an empty list of values", ruleText("s:\n  a: []\ncondition: s"), "'a' has an empty list"],
    ["a map for a value", ruleText("s:\n  a: { b: 1 }\ncondition: s"), "not a map"],
    ["a list in a list", ruleText("s:\n  a: [[1]]\ncondition: s"), "not a list"],
    ["a large file", `${plain}\n# ${"x".repeat(1_048_576)}`, "the limit is 1048576"],
  ])("%s", (_, text, message) => {
    const problems = problemsOf(text);
    expect(problems.join("\n")).toContain(message);
  });

  test("nesting without end is a problem among at most 100, not a crash", () => {
    const problems = problemsOf(`title: ${"[".repeat(20_000)}`);
    expect(problems[0]).toContain("not valid YAML");
    expect(problems.length).toBeLessThanOrEqual(100);
  });

  test("two rules with one id", () => {
    const text = `id: same\n${plain}`;
    const result = loadPackages([packageOf(text), { ...packageOf(text), name: "others" }]);
    expect(result).toEqual({
      problems: [
        {
          file: "others/r0.yml",
          line: 1,
          column: 1,
          message: "the id same is also that of tests/r0.yml; give one of them a new one",
        },
      ],
    });
  });
});

const own = `title: t
id: 0e6f4f0e-8d55-4a3c-9d0d-0123456789ab
description: d
author: a
level: low
references: [https://example.org]
logsource: { category: directory, product: linux }
detection:
  s: { WritableBy: world }
  condition: s
assay:
  scope: state
  identity: [Path]
  platforms: [linux]
  controls: { pci-dss-4.0: ["2.2.6"] }
  remediation: chmod
  cases:
    - { name: m, expect: match, event: { WritableBy: world } }
    - { name: c, expect: clear, event: { WritableBy: root } }
`;

describe("a rule of Assay's own", () => {
  test("loads with what it declares", () => {
    const ruleset = loaded(own);
    expect(ruleset.rules[0]).toMatchObject({
      scope: "state",
      identity: ["Path"],
      remediation: "chmod",
      controls: { "pci-dss-4.0": ["2.2.6"] },
      fields: ["Path", "WritableBy"],
    });
    expect(ruleset.casesOf("0e6f4f0e-8d55-4a3c-9d0d-0123456789ab").map((c) => c.name)).toEqual(["m", "c"]);
  });

  test.each([
    ["a missing key", own.replace("  remediation: chmod\n", ""), "assay lacks 'remediation'"],
    ["an unknown key", own.replace("scope:", "scop: x\n  scope:"), "assay has no 'scop'"],
    ["no id", own.replace(/^id:.*\n/m, ""), "the rule lacks 'id'"],
    ["an id of another form", own.replace(/^id: /m, "id: X"), "id must be a UUID"],
    ["no reference", own.replace("[https://example.org]", "[]"), "references is empty"],
    ["a scope that the category has not", own.replace("scope: state", "scope: event"), "must be state, not 'event'"],
    ["an unknown field", own.replace("s: { W", "s: { X"), "has no field XritableBy; it has Group, Mode, Owner, Path, WritableBy"],
    ["an unknown identity", own.replace("[Path]", "[Inode]"), "has no field Inode"],
    ["an unknown category", own.replace("category: directory", "category: folder"), "is not one of process_creation,"],
    ["a setting without its service", own.replace("category: directory", "category: setting"), "needs a service: sshd,"],
    ["no product", own.replace(", product: linux", ""), "lacks the product"],
    ["no clear case", own.replace("expect: clear", "expect: match"), "no case expects 'clear'"],
    ["a case without evidence", own.replace(", event: { WritableBy: root }", ""), "either an event or a section"],
    ["a case with a stray field", own.replace("event: { WritableBy: root", "event: { Writable: root"), "lacks: Writable"],
  ])("with %s is refused", (_, text, message) => {
    expect(problemsOf(text).join("\n")).toContain(message);
  });

  test("may not be identified by what differs from run to run", () => {
    const text = own
      .replace("category: directory", "category: process_creation")
      .replace("scope: state", "scope: event")
      .replace("[Path]", "[CommandLine]")
      .replaceAll("WritableBy", "User");
    expect(problemsOf(text).join("\n")).toContain("can't be identity");
  });
});

describe("a rule set", () => {
  const rule = (title: string, logsource: string) =>
    ruleText("s:\n  Image: x\ncondition: s", `logsource: ${logsource}`).replace("a test", title);
  const ruleset = loaded(
    rule("linux processes", "{ category: process_creation, product: linux }"),
    rule("windows processes", "{ category: process_creation, product: windows }"),
    rule("any processes", "{ category: process_creation }"),
    rule("auditd", "{ product: linux, service: auditd }"),
    rule("linux", "{ product: linux }"),
    rule("sshd settings", "{ category: setting, product: linux, service: sshd }"),
  );
  const asked = (category: string, product: string, service?: string) =>
    ruleset.rulesFor(category, product, service).map((r) => r.title);

  test("asks just the rules whose source the item has", () => {
    expect(asked("process_creation", "linux")).toEqual(["linux processes", "any processes", "linux"]);
    expect(asked("setting", "linux", "sshd")).toEqual(["linux", "sshd settings"]);
    expect(asked("setting", "linux", "kernel")).toEqual(["linux"]);
    expect(asked("process_creation", "macos")).toEqual(["any processes"]);
    expect(asked("", "")).toHaveLength(6);
    expect(asked("", "windows")).toEqual(["windows processes", "any processes"]);
  });

  test("tells which fields they read", () => {
    expect([...ruleset.fieldsFor("process_creation", "linux")]).toEqual(["Image"]);
  });

  test("has a digest that depends on the packages, not on their order", () => {
    const a = { ...packageOf(plain), name: "a" };
    const b = { ...packageOf(plain), name: "b", digest: "1".repeat(64) };
    const digest = (...packages: (typeof a)[]) => {
      const result = loadPackages(packages);
      return "ruleset" in result ? result.ruleset.digest : "";
    };
    expect(digest(a, b)).toBe(digest(b, a));
    expect(digest(a, b)).not.toBe(digest(a));
  });
});
