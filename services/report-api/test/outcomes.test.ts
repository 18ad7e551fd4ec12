import type { Period } from "../src/assessment-period";
import { type Evidence, evidenceKey, outcomeOf, type Subject } from "../src/outcomes";
import type { MatchRow, OutcomeRow } from "../src/queries/outcomes";
import type { RuleRow } from "../src/queries/rules";

const hour = 3_600_000;
const begins_at = 1_000 * hour;
const ends_at = 1_001 * hour;

const over: Period = {
  assessment_id: "a",
  application_id: "shop",
  packages: [],
  begins_at,
  ends_at,
  over: true,
  continuous: false,
};
const watched: Subject = {
  host_id: "h",
  host_name: "web",
  application_id: "",
  last_window_end: ends_at,
  inventory_at: undefined,
};
const unseen: Subject = { ...watched, last_window_end: undefined };

const ids = { rule_id: "r", host_id: "h", application_id: "" };

function told(outcome: string, as_of_ms: number, reason = ""): OutcomeRow {
  return { ...ids, package: "p", outcome, reason, as_of_ms, late: 0 };
}

function evidence(of: { asOfEnd?: OutcomeRow; ofPeriod?: OutcomeRow; match?: Partial<MatchRow> }): Evidence {
  const byKey = <T>(row: T | undefined) => new Map(row ? [[evidenceKey(ids), row]] : []);
  return {
    asOfEnd: byKey(of.asOfEnd),
    ofPeriod: byKey(of.ofPeriod),
    matches: byKey(of.match ? { ...ids, last_ms: 0, late: 0, ...of.match } : undefined),
  };
}

function judge(scope: string, of: Parameters<typeof evidence>[0], subject = watched, period = over) {
  const rule = { rule_id: "r", package: "p", title: "R", severity: "low", scope } as RuleRow;
  const { outcome, reason, as_of, late } = outcomeOf(rule, subject, evidence(of), period);
  return { outcome, reason, as_of, late };
}

const nothing = { outcome: "insufficient_evidence", reason: "no evidence was received", as_of: null, late: false };
const at = (ms: number) => new Date(ms).toISOString();

describe("event rules", () => {
  it("match where something happened in the period, whatever was told last", () => {
    const of = { match: { last_ms: begins_at + 5, late: 1 }, asOfEnd: told("clear", ends_at) };
    expect(judge("event", of)).toEqual({ outcome: "match", reason: "", as_of: at(begins_at + 5), late: true });
  });

  it("are clear where the last match was before the period", () => {
    expect(judge("event", { asOfEnd: told("match", begins_at - hour) })).toMatchObject({
      outcome: "clear",
      reason: expect.stringContaining("before 1970-02-11T16:00:00.000Z"),
    });
  });

  it("tell what held at the end, as of the last window", () => {
    expect(judge("event", { asOfEnd: told("clear", begins_at - 99 * hour) })).toMatchObject({
      outcome: "clear",
      as_of: at(ends_at),
    });
    const cut = told("insufficient_evidence", ends_at, "processes: the collector failed");
    expect(judge("event", { asOfEnd: cut })).toMatchObject({ outcome: "insufficient_evidence", reason: cut.reason });
  });

  it("are never clear without a window in the period, or without an outcome", () => {
    expect(judge("event", { asOfEnd: told("clear", begins_at - hour) }, unseen)).toEqual(nothing);
    expect(judge("event", {})).toEqual(nothing);
  });
});

describe("state rules", () => {
  it("tell what held at the end", () => {
    expect(judge("state", { asOfEnd: told("match", ends_at - hour) }, unseen)).toEqual({
      outcome: "match",
      reason: "",
      as_of: at(ends_at - hour),
      late: false,
    });
    expect(judge("state", { asOfEnd: told("not_applicable", ends_at, "no sshd") })).toMatchObject({ outcome: "not_applicable" });
  });

  it("are insufficient once the evidence is older than 26 h at the end", () => {
    expect(judge("state", { asOfEnd: told("clear", ends_at - 26 * hour) }, unseen).outcome).toBe("clear");
    const old = { outcome: "insufficient_evidence", reason: "evidence is 30 h old" };
    expect(judge("state", { asOfEnd: told("clear", ends_at - 30 * hour - 1) }, unseen)).toMatchObject(old);
  });

  it("count inventory that agreed with an old outcome as evidence", () => {
    const of = { asOfEnd: told("clear", ends_at - 500 * hour) };
    expect(judge("state", of, { ...unseen, inventory_at: ends_at - 20 * hour }).outcome).toBe("clear");
    expect(judge("state", of, { ...unseen, inventory_at: ends_at - 40 * hour }).reason).toBe("evidence is 40 h old");
  });

  it("know that a watched host had told its inventory, where what is known is of later", () => {
    const of = { asOfEnd: told("clear", ends_at - 500 * hour) };
    expect(judge("state", of, { ...watched, inventory_at: ends_at + 90 * hour }).outcome).toBe("clear");
    expect(judge("state", of, { ...unseen, inventory_at: ends_at + 90 * hour }).outcome).toBe("insufficient_evidence");
  });

  it("are insufficient where nothing was told", () => {
    expect(judge("state", {})).toEqual(nothing);
  });
});

describe("assessment rules", () => {
  it("tell the period's own outcome", () => {
    expect(judge("assessment", { ofPeriod: told("match", ends_at), asOfEnd: told("clear", ends_at) }).outcome).toBe("match");
  });

  it("say why there is none yet", () => {
    expect(judge("assessment", {}, unseen)).toEqual(nothing);
    expect(judge("assessment", {}).reason).toBe("the period has not been evaluated yet");
    expect(judge("assessment", {}, watched, { ...over, over: false }).reason).toContain("has not ended");
    expect(judge("assessment", {}, watched, { ...over, over: false, continuous: true }).reason).toContain("no round");
  });
});
