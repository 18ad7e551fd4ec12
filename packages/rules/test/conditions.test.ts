import { matches, problemsOf, ruleText } from "./sigma";

/** Detections a, b, b2 and _c that match where the field of that name is 1. */
const detections = "a:\n  a: 1\nb:\n  b: 1\nb2:\n  b2: 1\n_c:\n  c: 1";
const holds = (condition: string, ...set: string[]) =>
  matches(`${detections}\ncondition: ${condition}`, Object.fromEntries(set.map((name) => [name, 1])));

test.each([
  ["a", ["a"], true],
  ["a", ["b"], false],
  ["a and b", ["a", "b"], true],
  ["a and b", ["a"], false],
  ["a or b", ["b"], true],
  ["not a", [], true],
  ["not a", ["a"], false],
  ["not not a", ["a"], true],
  ["a or b and b2", ["a"], true],
  ["a or b and b2", ["b"], false],
  ["(a or b) and b2", ["a"], false],
  ["(a or b) and b2", ["a", "b2"], true],
  ["not a and b", ["b"], true],
  ["not a and b", [], false],
  ["not (a and b)", ["a"], true],
  ["not (a or b)", ["b"], false],
  ["a AND NOT b", ["a"], true],
  ["1 of b*", ["b2"], true],
  ["1 of b*", ["a"], false],
  ["any of b*", ["b2"], true],
  ["all of b*", ["b"], false],
  ["all of b*", ["b", "b2"], true],
  ["1 of them", ["b2"], true],
  ["1 of them", ["c"], false],
  ["all of them", ["a", "b", "b2"], true],
  ["1 of _*", ["c"], true],
  ["_c", ["c"], true],
  ["1 of *2", ["b2"], true],
  ["a and not 1 of b*", ["a"], true],
  ["a and not 1 of b*", ["a", "b"], false],
  ["a and not all of b*", ["a", "b"], true],
  ["((a))", ["a"], true],
  ["(a)and(b)", ["a", "b"], true],
])("%s with %j", (condition, set, expected) => {
  expect(holds(condition, ...set)).toBe(expected);
});

test("of several conditions any may hold", () => {
  const several = `${detections}\ncondition:\n  - a and b\n  - b2`;
  expect(matches(several, { b2: 1 })).toBe(true);
  expect(matches(several, { a: 1 })).toBe(false);
});

test.each([
  ["a and", "ends where the name of a detection must follow"],
  ["and a", "must stand before 'and'"],
  ["a b", "'and' or 'or' must stand before 'b'"],
  ["(a", "a parenthesis is not closed"],
  ["a)", "closes no parenthesis"],
  ["x", "names 'x', and there are a, b, b2, _c"],
  ["1 of x*", "no detection fits 'x*'"],
  ["2 of b*", "'2 of' is not supported; write '1 of' or 'all of'"],
  ["a | count() > 5", "aggregation in a condition"],
  ["''", "must be a text"],
  [`${"not ".repeat(100)}a`, "nested deeper than the limit of 64"],
])("%s is refused", (condition, message) => {
  const problems = problemsOf(ruleText(`${detections}\ncondition: ${condition}`));
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(message);
});

describe("detections", () => {
  test("a map needs all of its fields", () => {
    expect(matches("s:\n  a: 1\n  b: 2\ncondition: s", { a: 1, b: 2 })).toBe(true);
    expect(matches("s:\n  a: 1\n  b: 2\ncondition: s", { a: 1 })).toBe(false);
  });

  test("a list of maps needs any of them", () => {
    const list = "s:\n  - a: 1\n    b: 2\n  - c: 3\ncondition: s";
    expect(matches(list, { c: 3 })).toBe(true);
    expect(matches(list, { a: 1 })).toBe(false);
    expect(matches(list, { a: 1, b: 2 })).toBe(true);
  });
});

describe("keywords", () => {
  test("are looked for in every field, in any case", () => {
    const words = "keywords:\n  - EVIL\n  - 'a*c'\n  - 4711\ncondition: keywords";
    expect(matches(words, { x: 1, message: "an evil thing" })).toBe(true);
    expect(matches(words, { x: "xxabbcxx" })).toBe(true);
    expect(matches(words, { x: [1, 14711] })).toBe(true);
    expect(matches(words, { evil: "good" })).toBe(false);
  });

  test("all of them by '|all'", () => {
    const words = "keywords:\n  '|all':\n    - one\n    - two\ncondition: keywords";
    expect(matches(words, { a: "one", b: "TWO" })).toBe(true);
    expect(matches(words, { a: "one" })).toBe(false);
  });

  test("with modifiers", () => {
    expect(matches("k:\n  '|re': 'x[0-9]+'\ncondition: k", { a: "ax12" })).toBe(true);
    expect(matches("k:\n  '|cased':\n    - Evil\ncondition: k", { a: "evil" })).toBe(false);
    expect(problemsOf(ruleText("k:\n  '|gt': 5\ncondition: k"))[0]).toContain("'gt' needs a field");
  });

  test("among maps in a list", () => {
    const mixed = "s:\n  - evil\n  - a: 1\ncondition: s";
    expect(matches(mixed, { a: 1 })).toBe(true);
    expect(matches(mixed, { b: "evil" })).toBe(true);
    expect(matches(mixed, { b: "good" })).toBe(false);
  });
});
