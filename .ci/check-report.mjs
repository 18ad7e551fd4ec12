// Asserts on the JSON report of a real assessment: its form, one outcome per rule, and verdicts that this machine's own files confirm.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { findings, outcomes, coverage } = report;

const ruleFiles = readdirSync("rules", { recursive: true }).filter((f) => f.endsWith(".yml") && !f.endsWith("package.yml"));
const words = ["match", "clear", "not_applicable", "insufficient_evidence", "error"];
assert.equal(new Set(outcomes.map((o) => `${o.rule_id} ${o.host_id}`)).size, outcomes.length, "one outcome per rule and host");
assert.equal(new Set(outcomes.map((o) => o.rule_id)).size, ruleFiles.length, "an outcome for every rule");
for (const o of outcomes) assert.ok(words.includes(o.outcome), `${o.title} is ${o.outcome}`);
assert.deepEqual(
  outcomes.filter((o) => o.outcome === "error"),
  [],
  "no rule failed",
);
for (const o of outcomes) {
  if (o.outcome === "insufficient_evidence" || o.outcome === "not_applicable")
    assert.notEqual(o.reason, "", `${o.title} says why`);
  assert.notEqual(o.reason, "no evidence was received", `${o.title} had evidence`);
}
assert.ok(coverage.windows >= 6, `${coverage.windows} windows of 10 s in a minute`);
assert.ok(findings.length > 0, "a machine without any finding is not to be believed");
for (const f of findings) {
  assert.ok(f.rule.remediation.length > 0 && f.evidence !== null, `${f.title} has a remedy and evidence`);
  assert.ok(Date.parse(f.first_seen) <= Date.parse(f.last_seen), `${f.title} was seen first before it was seen last`);
}

const outcomeOf = (title) => {
  const found = outcomes.find((o) => o.title === title);
  assert.ok(found, `there is a rule "${title}"`);
  return found.outcome;
};
const maxDays = /^\s*PASS_MAX_DAYS\s+(-?\d+)/m.exec(readFileSync("/etc/login.defs", "utf8"))?.[1];
const expires = maxDays !== undefined && Number(maxDays) >= 0 && Number(maxDays) <= 90;
assert.equal(
  outcomeOf("Passwords of new accounts don't expire within 90 days"),
  expires ? "clear" : "match",
  `PASS_MAX_DAYS ${maxDays}`,
);
const aslr = readFileSync("/proc/sys/kernel/randomize_va_space", "utf8").trim();
assert.equal(
  outcomeOf("Address space randomization is off or weak"),
  aslr === "2" ? "clear" : "match",
  `randomize_va_space ${aslr}`,
);

process.stdout.write(`${findings.length} findings, ${outcomes.length} outcomes, ${coverage.windows} windows: the report holds\n`);
