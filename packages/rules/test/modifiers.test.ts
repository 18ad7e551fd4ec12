import { loadPackages } from "@assay/rules/load";
import { loaded, packageOf, problemsOf, ruleText, selects } from "./sigma";

const command = (CommandLine: string) => ({ CommandLine });

describe("contains, startswith, endswith", () => {
  test.each([
    ["contains: 'B C'", "a b c d", true],
    ["contains: 'x'", "a b c d", false],
    ["contains: 'a*d'", "xaxdx", true],
    ["startswith: 'A '", "a b", true],
    ["startswith: 'b'", "a b", false],
    ["endswith: ' B'", "a b", true],
    ["endswith: 'a'", "a b", false],
    ["contains: 12", "a 12 b", true],
    ["startswith: '*b'", "ab!", true],
  ])("%s against %s", (test, value, expected) => {
    expect(selects(`CommandLine|${test}`, command(value))).toBe(expected);
  });
});

describe("all and neq", () => {
  const all = "CommandLine|contains|all:\n  - one\n  - two";
  test("all needs every value", () => {
    expect(selects(all, command("two one"))).toBe(true);
    expect(selects(all, command("one"))).toBe(false);
  });

  test("neq is true of everything else, an absent field among it", () => {
    expect(selects("User|neq: root", { User: "alice" })).toBe(true);
    expect(selects("User|neq: root", { User: "ROOT" })).toBe(false);
    expect(selects("User|neq: root", {})).toBe(true);
    expect(selects("Uid|neq: 0", { Uid: 0 })).toBe(false);
  });

  test("neq of a list is none of them", () => {
    expect(selects("User|neq:\n  - root\n  - bob", { User: "bob" })).toBe(false);
    expect(selects("User|neq:\n  - root\n  - bob", { User: "eve" })).toBe(true);
  });
});

describe("cased", () => {
  test.each([
    ["CommandLine|cased: Ab", "Ab", true],
    ["CommandLine|cased: Ab", "ab", false],
    ["CommandLine|contains|cased: Ab", "xAbx", true],
    ["CommandLine|cased|endswith: Ab", "xaB", false],
  ])("%s against %s", (selection, value, expected) => {
    expect(selects(selection, command(value))).toBe(expected);
  });
});

describe("re", () => {
  test.each([
    ["re: 'a+b$'", "xaab", true],
    ["re: 'A+b$'", "xaab", false],
    ["re|i: 'A+b$'", "xaab", true],
    ["re: '^b'", "a\nb", false],
    ["re|m: '^b'", "a\nb", true],
    ["re: 'a.b'", "a\nb", false],
    ["re|s: 'a.b'", "a\nb", true],
    ["re|i|s: 'A.B'", "a\nb", true],
    ["re: '\\\\s[a-c]{2}\\\\b'", "x bc", true],
  ])("%s against %j", (test, value, expected) => {
    expect(selects(`CommandLine|${test.replaceAll("\\\\", "\\")}`, command(value))).toBe(expected);
  });

  test("what can't run in linear time is refused", () => {
    for (const expression of ["(?=a)b", "(?<!a)b", "(a)\\1"]) {
      const [problem] = problemsOf(ruleText(`s:\n  CommandLine|re: '${expression}'\ncondition: s`));
      expect(problem).toMatch(/^5: 'CommandLine\|re': the expression is not of RE2's syntax/);
    }
  });

  test("an expression that hangs a backtracking engine takes no time", () => {
    const started = performance.now();
    expect(selects("CommandLine|re: '^(a+)+$'", command(`${"a".repeat(5_000)}!`))).toBe(false);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

describe("cidr", () => {
  test.each([
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["192.168.4.0/22", "192.168.7.255", true],
    ["192.168.4.0/22", "192.168.8.0", false],
    ["0.0.0.0/0", "8.8.8.8", true],
    ["127.0.0.1", "127.0.0.1", true],
    ["127.0.0.1/32", "127.0.0.2", false],
    ["fe80::/10", "fe80::1%eth0", true],
    ["fd00::/8", "fdab::1", true],
    ["fd00::/8", "fe00::1", false],
    ["::1/128", "0:0:0:0:0:0:0:1", true],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["::/0", "10.1.2.3", false],
    ["10.0.0.0/8", "10.1", false],
    ["10.0.0.0/8", "not an address", false],
  ])("%s and %s", (network, address, expected) => {
    expect(selects(`Ip|cidr: '${network}'`, { Ip: address })).toBe(expected);
  });

  test("any of several networks", () => {
    expect(selects("Ip|cidr:\n  - 10.0.0.0/8\n  - 'fd00::/8'", { Ip: "fd00::1" })).toBe(true);
  });
});

describe("exists", () => {
  test.each([
    ["true", { User: "x" }, true],
    ["true", { User: "" }, true],
    ["true", { User: null }, true],
    ["true", {}, false],
    ["false", {}, true],
    ["false", { User: "x" }, false],
  ])("exists: %s against %j", (expected, fields, result) => {
    expect(selects(`User|exists: ${expected}`, fields)).toBe(result);
  });
});

describe("windash", () => {
  test.each([
    ["contains|windash: ' -exec'", "x /exec y", true],
    ["contains|windash: ' /exec'", "x -exec y", true],
    ["contains|windash: ' -exec'", "x –exec y", true],
    ["contains|windash: ' -exec'", "x ―exec y", true],
    ["contains|windash: ' -exec'", "x +exec y", false],
    ["contains|windash: ' -a -b'", "x /a —b y", true],
    ["windash|contains: ' -a'", "x /a", true],
    ["contains|windash: 'no-dash'", "x no/dash", false],
    ["contains|windash: '-a-b'", "/a-b", true],
  ])("%s against %s", (test, value, expected) => {
    expect(selects(`CommandLine|${test}`, command(value))).toBe(expected);
  });
});

describe("encodings", () => {
  const base64 = (text: string, encoding: BufferEncoding = "utf8") => Buffer.from(text, encoding).toString("base64");

  test("base64", () => {
    expect(selects("CommandLine|base64|contains: 'foobar'", command(`x ${base64("foobar")} y`))).toBe(true);
    expect(selects("CommandLine|base64: 'foobar'", command(base64("foobar")))).toBe(true);
  });

  test("base64offset finds the text at each of the three places", () => {
    for (const before of ["", "a", "ab", "abc", "abcd"]) {
      for (const after of ["", "x", "xy"]) {
        const encoded = base64(`${before}http://evil${after}`);
        expect(selects("CommandLine|base64offset|contains: 'http://evil'", command(`x ${encoded}`))).toBe(true);
      }
    }
    expect(selects("CommandLine|base64offset|contains: 'http://evil'", command(base64("http://good")))).toBe(false);
  });

  test("base64offset counts bytes, not characters", () => {
    for (const before of ["", "a", "ab"]) {
      expect(selects("CommandLine|base64offset|contains: 'grüße'", command(base64(`${before}grüße!`)))).toBe(true);
    }
  });

  test("utf16 in its forms", () => {
    const little = base64("whoami", "utf16le");
    const big = Buffer.from("whoami", "utf16le").swap16().toString("base64");
    expect(selects("CommandLine|wide|base64|contains: whoami", command(little))).toBe(true);
    expect(selects("CommandLine|utf16le|base64|contains: whoami", command(little))).toBe(true);
    expect(selects("CommandLine|utf16be|base64|contains: whoami", command(big))).toBe(true);
    expect(selects("CommandLine|utf16|base64|contains: whoami", command(base64("\ufeffwhoami", "utf16le")))).toBe(true);
    expect(selects("CommandLine|wide|base64offset|contains: whoami", command(base64("x whoami y", "utf16le")))).toBe(true);
  });
});

describe("lt, lte, gt, gte", () => {
  test.each([
    ["lt: 90", 89, true],
    ["lt: 90", 90, false],
    ["lte: 90", 90, true],
    ["gt: 90", "99999", true],
    ["gt: 90", 90, false],
    ["gte: 90", "90", true],
    ["gt: -1.5", "-1", true],
    ["gt: 0", "many", false],
    ["lt: 1", "", false],
  ])("%s against %p", (test, value, expected) => {
    expect(selects(`Days|${test}`, { Days: value })).toBe(expected);
  });

  test("an absent field compares with nothing", () => {
    expect(selects("Days|lt: 1", {})).toBe(false);
  });
});

describe("fieldref", () => {
  test.each([
    ["Image|fieldref: ParentImage", { Image: "/bin/SH", ParentImage: "/bin/sh" }, true],
    ["Image|fieldref: ParentImage", { Image: "/bin/sh", ParentImage: "/bin/ls" }, false],
    ["Image|fieldref: ParentImage", { Image: "/bin/sh" }, false],
    ["Image|fieldref: ParentImage", {}, false],
    ["Image|cased|fieldref: ParentImage", { Image: "A", ParentImage: "a" }, false],
    ["Image|fieldref|endswith: Name", { Image: "/bin/sh", Name: "sh" }, true],
    ["Image|fieldref|startswith: Name", { Image: "/bin/sh", Name: "/bin" }, true],
    ["Image|fieldref|contains: Name", { Image: "/bin/sh", Name: "in/" }, true],
    ["Image|fieldref: Names", { Image: "a", Names: ["b", "A"] }, true],
  ])("%s against %j", (selection, fields, expected) => {
    expect(selects(selection, fields)).toBe(expected);
  });

  test("the other field counts among those that the rule reads", () => {
    expect(loaded(ruleText("s:\n  A|fieldref: B\ncondition: s")).rules[0]?.fields).toEqual(["A", "B", "Image"]);
  });
});

describe("expand", () => {
  const text = ruleText("s:\n  User|expand: 'x%admins%\\%'\ncondition: s");

  test("needs values for the placeholder", () => {
    expect(problemsOf(text)).toEqual(["5: 'User|expand': no values are given for the placeholder %admins%"]);
  });

  test("puts each of them in", () => {
    const result = loadPackages([packageOf(text)], { placeholders: { admins: ["alice", "b*"] } });
    if ("problems" in result) throw new Error("not loaded");
    const ask = (User: string) =>
      result.ruleset.match({ category: "process_creation", product: "linux", fields: { User } }).length;
    expect([ask("xalice%"), ask("xbob%"), ask("xeve%"), ask("x%admins%%")]).toEqual([1, 1, 0, 0]);
  });

  test("without it percent signs are text", () => {
    expect(selects("User: '%admins%'", { User: "%admins%" })).toBe(true);
  });
});

describe("what can't be meant is refused, with its place", () => {
  test.each([
    ["CommandLine|contain: x", "'contain' is not a modifier; known are"],
    ["CommandLine|hour: 3", "the time modifier 'hour' is not supported"],
    ["CommandLine|contains|contains: x", "the modifier 'contains' stands twice"],
    ["CommandLine|contains: null", "null can't be used with 'contains'"],
    ["CommandLine|re|contains: x", "'contains' can't be combined with 're'"],
    ["CommandLine|contains|re: x", "'re' can't follow 'contains'"],
    ["CommandLine|re: 5", "'re' needs a text"],
    ["CommandLine|i: x", "'i' can't follow ''"],
    ["CommandLine|re|cased: x", "'cased' says nothing beside 're'"],
    ["Ip|cidr: 10.0.0.1/8", "has bits set after its prefix"],
    ["Ip|cidr: 10.0.0.0/33", "is not a network"],
    ["Ip|cidr: somewhere", "is not a network"],
    ["Ip|cidr|contains: 10.0.0.0/8", "'contains' can't be combined with 'cidr'"],
    ["User|exists: 'yes'", "'exists' needs true or false"],
    ["Days|gt: '90'", "'gt' needs a number"],
    ["CommandLine|wide: x", "write base64 or base64offset after it"],
    ["CommandLine|wide|utf16be|base64: x", "follows another encoding"],
    ["CommandLine|contains|base64: x", "text with wildcards can't be encoded"],
    ["Image|fieldref: 'Parent*'", "can't have wildcards"],
    ["Image|fieldref|re: x", "can't be combined with 'fieldref'"],
  ])("%s", (selection, message) => {
    const problems = problemsOf(ruleText(`s:\n  ${selection}\ncondition: s`));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(message);
    expect(problems[0]).toMatch(/^5: /);
  });
});
