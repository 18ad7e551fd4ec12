import { findingId, identityOf } from "@assay/rules/identity";

const item = (fields: Record<string, string | number | boolean | (string | number)[]>) => ({
  category: "listener",
  product: "linux",
  fields,
});

describe("a finding's id", () => {
  // Fixed for good: other values would make every finding of every user a new one.
  test.each([
    [["r1", "host", "h1", {}], "4c4e30436fe1b2426714c74cadc6205a"],
    [["r1", "application", "h1", {}], "499138d88fe9a06806d979dbe99671bf"],
    [["r1", "host", "h1", { Port: "22", Protocol: "tcp" }], "8c6733b265223247595c3c9cb2427a40"],
    [["r1", "host", "h1", { Path: '/a "b"\n\u00fc😀' }], "dee5fac280df2040874e7b7b382e84da"],
  ] as const)("%j", ([rule, kind, resource, identity], id) => {
    expect(findingId(rule, kind, resource, identity)).toBe(id);
  });

  test("doesn't depend on the order of the fields", () => {
    const one = findingId("r", "host", "h", { A: "1", B: "2" });
    expect(findingId("r", "host", "h", { B: "2", A: "1" })).toBe(one);
  });

  test("differs with each of its parts, and where one holds the other's separator", () => {
    const ids = [
      findingId("r", "host", "h", { A: "1" }),
      findingId("r", "host", "h", { A: "2" }),
      findingId("r", "host", "h", { B: "1" }),
      findingId("r", "host", "i", { A: "1" }),
      findingId("q", "host", "h", { A: "1" }),
      findingId("r", "application", "h", { A: "1" }),
      findingId("r", "host", "h", { A: "1", B: "" }),
      findingId("r", "host", 'h",[["A","1"]]', {}),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("identity", () => {
  test("is the rule's fields as text, empty where the item lacks one", () => {
    const identity = identityOf({ identity: ["Port", "Protocol", "Image"] }, item({ Port: 22, Protocol: "tcp", User: "root" }));
    expect(identity).toEqual({ Port: "22", Protocol: "tcp", Image: "" });
  });

  test("takes a list as a set", () => {
    const a = identityOf({ identity: ["Ports"] }, item({ Ports: [80, 443] }));
    expect(a).toEqual(identityOf({ identity: ["Ports"] }, item({ Ports: [443, 80] })));
    expect(a).toEqual({ Ports: '["443","80"]' });
  });
});
