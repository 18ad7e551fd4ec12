import type { EntityKind, EntityTypes, RulePackage } from "@assay/control/entities";
import { compilePackages, ruleEngine } from "../src/rule-engine";
import { followRuleSets, type PackageFailure } from "../src/rule-sets";
import { listener, process, section, t0 } from "./given";
import { dnsQuery, httpListener, pack, rootLogin, windowsShell } from "./packages";

const http = pack("network", { "http.yml": httpListener });
const ssh = pack("authentication", { "root.yml": rootLogin });
const broken = pack("broken", { "bad.yml": rootLogin.replace("condition: root", "condition: nothing of that name") });

function following(versions: readonly { value: RulePackage; effective_from: number }[], forgotten_before = 0) {
  const failures: PackageFailure[] = [];
  let compiled = 0;
  const control = {
    at<K extends EntityKind>(_kind: K, event_time: number) {
      const newest = new Map<
        string,
        { id: string; version: number; at: number; effective_from: number; value: EntityTypes[K] }
      >();
      for (const [index, { value, effective_from }] of versions.entries()) {
        if (effective_from > event_time) continue;
        newest.set(value.name, { id: value.name, version: index + 1, at: 0, effective_from, value: value as EntityTypes[K] });
      }
      return [...newest.values()];
    },
    forgotten: (_kind: EntityKind, event_time: number) => (event_time < forgotten_before ? ["network"] : []),
  };
  const compile: typeof compilePackages = (packages) => {
    compiled++;
    return compilePackages(packages);
  };
  return { sets: followRuleSets(control, compile, (failure) => failures.push(failure)), failures, compiled: () => compiled };
}

test("rules are those in force at the event time, compiled once per set", () => {
  const { sets, compiled } = following([
    { value: http, effective_from: t0 },
    { value: ssh, effective_from: t0 + 10_000 },
  ]);
  expect(sets.at(t0 - 1)).toMatchObject({ digest: "", effective_from: 0 });
  expect([...sets.at(t0).rules.values()].map((r) => r.title)).toEqual(["Listener that speaks HTTP"]);
  const both = sets.at(t0 + 10_000);
  expect(both).toMatchObject({ effective_from: t0 + 10_000 });
  expect(both.rules.size).toBe(2);
  expect(sets.at(t0 + 99_000)).toBe(both);
  expect(sets.at(t0).digest).not.toBe(both.digest);
  expect(compiled()).toBe(3);
});

test("a package that doesn't load is told with its place, and the others are evaluated", () => {
  const { sets, failures } = following([http, broken, ssh].map((value) => ({ value, effective_from: t0 })));
  const set = sets.at(t0);
  expect(set.failures).toEqual([{ package: "broken", reason: expect.stringContaining("broken/bad.yml:") }]);
  expect(failures).toEqual(set.failures);
  expect(set.rules.size).toBe(2);
  expect(set.matches(ruleEngine.listener(listener(t0))).map((r) => r.package)).toEqual(["network"]);
});

test("a package whose version at the event time is no longer kept is told as one that doesn't load", () => {
  const { sets } = following(
    [
      { value: http, effective_from: t0 + 10_000 },
      { value: ssh, effective_from: t0 },
    ],
    t0 + 10_000,
  );
  const set = sets.at(t0);
  expect(set.failures).toEqual([{ package: "network", reason: expect.stringMatching(/no longer kept: the newest \d+ are/) }]);
  expect([...set.rules.values()].map((r) => r.package)).toEqual(["authentication"]);
  expect(sets.at(t0 + 10_000).failures).toEqual([]);
});

test("two packages with the same rule: the second one, by name, is the one that doesn't load", () => {
  const twin = pack("twin", { "root.yml": rootLogin });
  const { sets } = following([ssh, twin].map((value) => ({ value, effective_from: t0 })));
  expect(sets.at(t0).failures.map((f) => f.package)).toEqual(["twin"]);
});

test("rules for other systems, and over what nobody collects, match nothing and are told so", () => {
  const foreign = pack("sigma", { "windows.yml": windowsShell, "dns.yml": dnsQuery });
  const set = following([{ value: foreign, effective_from: t0 }]).sets.at(t0);
  expect(set.matches(ruleEngine.process(process(t0, { image: "/bin/sh" })))).toEqual([]);
  expect([...set.told.values()]).toEqual([
    { outcome: "not_applicable", reason: expect.stringContaining("windows") },
    { outcome: "insufficient_evidence", reason: expect.stringContaining("dns_query") },
  ]);
});

test("a section with processes whose executables could not be read isn't whole", () => {
  const content = { executables: [], unreadable: 2 };
  expect(ruleEngine.isWhole(section(0, "executables", content), content)).toBe(false);
  expect(ruleEngine.isWhole(section(0, "executables", content), { ...content, unreadable: 0 })).toBe(true);
});
