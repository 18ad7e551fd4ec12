import { selects } from "./sigma";

describe("text", () => {
  test.each([
    ["Image: /bin/SH", "/BIN/sh", true],
    ["Image: /bin/sh", "/bin/sh2", false],
    ["Image: 'ΟΔΟΣ'", "οδος", true],
    ["Image: ''", "", true],
    ["Image: ''", "x", false],
  ])("%s against %s", (selection, value, expected) => {
    expect(selects(selection, { Image: value })).toBe(expected);
  });

  test("an empty text is not an absent field", () => {
    expect(selects("Image: ''", {})).toBe(false);
  });
});

describe("wildcards", () => {
  test.each([
    ["'a*'", "abc", true],
    ["'a*'", "ba", false],
    ["'*a'", "cba", true],
    ["'*a*'", "xay", true],
    ["'a*c*e'", "abcde", true],
    ["'a*c*e'", "ace", true],
    ["'ab*bc'", "abc", false],
    ["'*b*b*'", "ab", false],
    ["'a?c'", "abc", true],
    ["'a?c'", "ac", false],
    ["'a?'", "a😀", true],
    ["'*?z'", "z", false],
    ["'*a?c*'", "xxabaaecx", true],
    ["'*'", "", true],
    ["'**'", "anything\nwith lines", true],
  ])("%s against %s", (pattern, value, expected) => {
    expect(selects(`Image: ${pattern}`, { Image: value })).toBe(expected);
  });

  test("a star needs the field", () => {
    expect(selects("Image: '*'", {})).toBe(false);
  });

  test.each([
    [String.raw`'a\*'`, "a*", true],
    [String.raw`'a\*'`, "ab", false],
    [String.raw`'a\?'`, "a?", true],
    [String.raw`'a\?'`, "ab", false],
    [String.raw`'C:\dir\x'`, String.raw`C:\dir\x`, true],
    [String.raw`'C:\\dir'`, String.raw`C:\dir`, true],
    [String.raw`'a\\*'`, String.raw`a\bc`, true],
    [String.raw`'a\\*'`, "abc", false],
    [String.raw`'a\\\*'`, String.raw`a\*`, true],
    [String.raw`'a\\\*'`, String.raw`a\b`, false],
    [String.raw`'a\\\\b'`, String.raw`a\\b`, true],
    [String.raw`'a\\\b'`, String.raw`a\\b`, true],
  ])("a backslash takes the meaning from %s against %s", (pattern, value, expected) => {
    expect(selects(`Image: ${pattern}`, { Image: value })).toBe(expected);
  });
});

describe("numbers, booleans and null", () => {
  test.each([
    ["Port: 22", 22, true],
    ["Port: 22", "22", true],
    ["Port: 22", "22.0", true],
    ["Port: 22", 222, false],
    ["Port: '22'", 22, true],
    ["Port: '2*'", 22, true],
    ["Port: 0x16", 22, true],
    ["Port: 9007199254740993", "9007199254740993", true],
    ["Port: 9007199254740993", "9007199254740992", false],
    ["Port: true", true, true],
    ["Port: true", "True", true],
    ["Port: 'true'", true, true],
    ["Port: false", true, false],
    ["Port: null", null, true],
    ["Port: null", "", false],
    ["Port: null", 0, false],
    ["Port: ''", null, false],
  ])("%s against %p", (selection, value, expected) => {
    expect(selects(selection, { Port: value })).toBe(expected);
  });

  test("null is an absent field too", () => {
    expect(selects("Port: null", {})).toBe(true);
    expect(selects("Port:", {})).toBe(true);
  });

  test("null may stand among other values", () => {
    expect(selects("Port:\n  - null\n  - 1", {})).toBe(true);
    expect(selects("Port:\n  - null\n  - 1", { Port: 1 })).toBe(true);
    expect(selects("Port:\n  - null\n  - 1", { Port: 2 })).toBe(false);
  });

  test("names that every object inherits are absent fields", () => {
    expect(selects("constructor: null", {})).toBe(true);
    expect(selects("toString|exists: true", {})).toBe(false);
  });
});

describe("lists", () => {
  test("any of a rule's values may match", () => {
    expect(selects("Image:\n  - a\n  - b*", { Image: "bc" })).toBe(true);
    expect(selects("Image:\n  - a\n  - b*", { Image: "c" })).toBe(false);
  });

  test("any element of a field with a list may match", () => {
    expect(selects("Ports: 80", { Ports: [22, 80] })).toBe(true);
    expect(selects("Ports: 81", { Ports: [22, 80] })).toBe(false);
    expect(selects("Ports|gt: 70", { Ports: [22, 80] })).toBe(true);
    expect(selects("Names|endswith: '/SH'", { Names: ["/bin/sh"] })).toBe(true);
  });

  test("all values may be found in different elements", () => {
    expect(selects("Names|contains|all:\n  - a\n  - b", { Names: ["xa", "xb"] })).toBe(true);
  });

  test("an empty list is there, and has nothing that matches", () => {
    expect(selects("Ports: '*'", { Ports: [] })).toBe(false);
    expect(selects("Ports|exists: true", { Ports: [] })).toBe(true);
    expect(selects("Ports: null", { Ports: [] })).toBe(false);
  });
});
