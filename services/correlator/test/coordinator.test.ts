import type { CommandBody } from "@assay/control/commands";
import type { Answer, Application, Assessment } from "@assay/control/entities";
import { ControlView } from "@assay/control/follow";
import type { ControlRecord } from "@assay/schemas/generated/types";
import { decide } from "../src/coordinator/decide";
import { advance } from "../src/coordinator/life-cycle";
import { membershipBy } from "../src/host-windows/membership";
import { codec } from "./given";

const window_ms = 10_000;
const settings = { lateness_ms: 2_000, silent_after_ms: 60_000 };
const application: Application = {
  name: "Shop",
  selector: { tag: "team", in: ["shop"] },
  tiers: [{ name: "data", selector: { tag: "role", in: ["db"] } }],
};
const template = { name: "Hourly", application_id: "shop", packages: [], duration_ms: 60_000 };

/** A coordinator without its log: control by applying what it decides. */
class Coordinator {
  // The log isn't read: records are applied directly.
  readonly control = Reflect.construct(ControlView, [undefined, codec]) as ControlView;
  private commands = 0;

  send(body: CommandBody, at: number, command_id = `c${++this.commands}`): Answer | undefined {
    const { type, ...rest } = body;
    this.apply(decide(this.control, { command_id, at, by: "test", type, body: JSON.stringify(rest) }, at, window_ms));
    return this.control.answerTo(command_id);
  }

  advance(now: number, hosts: Record<string, number> = {}, applications: Record<string, number> = {}, since = 0): void {
    const evaluated = { hosts: new Map(Object.entries(hosts)), applications: new Map(Object.entries(applications)) };
    this.apply(advance(this.control, evaluated, now, since, settings));
  }

  assessment(id: string): Assessment | undefined {
    return this.control.latest("assessment", id)?.value;
  }

  private apply(records: readonly ControlRecord[]): void {
    for (const record of records) this.control.apply(record);
  }
}

function shop(): Coordinator {
  const coordinator = new Coordinator();
  const agent = (host_id: string) => ({
    host_id,
    host_name: `${host_id}.example`,
    credential_sha256: "0".repeat(64),
    enrolled_at: 1,
  });
  coordinator.send({ type: "enrol_agent", agent: agent("h1") }, 1);
  coordinator.send({ type: "enrol_agent", agent: agent("h2") }, 1);
  coordinator.send({ type: "put_host_tags", id: "h1", expected_version: 0, host: { tags: { team: "shop", role: "db" } } }, 1);
  coordinator.send({ type: "put_application", id: "shop", expected_version: 0, application }, 2);
  coordinator.send({ type: "put_template", id: "hourly", expected_version: 0, template }, 3);
  return coordinator;
}

describe("commands", () => {
  test("a change holds from the first window edge two windows after it was appended", () => {
    expect(shop().control.latest("application", "shop")).toMatchObject({ version: 1, effective_from: 30_000 });
  });

  test("of two writers with the same expected version one is refused, with the version that stands", () => {
    const coordinator = shop();
    const put = { type: "put_application", id: "shop", expected_version: 1, application } as const;
    expect(coordinator.send(put, 5)).toMatchObject({ result: "accepted", version: 2 });
    expect(coordinator.send(put, 6)).toEqual({
      result: "rejected",
      reason: "version_conflict",
      detail: "application shop is at version 2, not 1",
    });
  });

  test("a command that comes again is not carried out again", () => {
    const coordinator = shop();
    const put = { type: "put_application", id: "shop", expected_version: 1, application } as const;
    coordinator.send(put, 5, "same");
    coordinator.send(put, 5, "same");
    expect(coordinator.control.latest("application", "shop")?.version).toBe(2);
  });

  test.each<[string, CommandBody, string]>([
    [
      "a template of an unknown application",
      { type: "put_template", id: "t", expected_version: 0, template: { ...template, application_id: "nope" } },
      "not_found",
    ],
    ["an assessment of an unknown template", { type: "start_assessment", id: "a", template_id: "nope" }, "not_found"],
    [
      "a duration under a minute",
      { type: "put_template", id: "t", expected_version: 0, template: { ...template, duration_ms: 59_999 } },
      "invalid",
    ],
    ["stopping what isn't there", { type: "stop_assessment", id: "a", evaluate: true }, "not_found"],
  ])("%s is refused", (_, command, reason) => {
    expect(shop().send(command, 5)).toMatchObject({ result: "rejected", reason });
  });

  test("activating the active package changes nothing", () => {
    const coordinator = shop();
    const activate: CommandBody = {
      type: "activate_package",
      package: { name: "p", version: "1", digest: "a".repeat(64), files: [] },
    };
    expect(coordinator.send(activate, 5)).toMatchObject({ result: "accepted", version: 1 });
    expect(coordinator.send(activate, 6)).toMatchObject({ result: "accepted", version: 1 });
  });
});

describe("the life of an assessment", () => {
  test("begins and ends on window edges, and completes when its hosts and its application are evaluated through the end", () => {
    const coordinator = shop();
    coordinator.send({ type: "start_assessment", id: "a", template_id: "hourly" }, 20_500);
    expect(coordinator.assessment("a")).toMatchObject({ state: "pending", begins_at: 50_000, ends_at: 110_000 });
    coordinator.advance(49_000);
    expect(coordinator.assessment("a")?.state).toBe("pending");
    coordinator.advance(50_000);
    expect(coordinator.assessment("a")?.state).toBe("collecting");
    coordinator.advance(110_000, { h1: 100_000 }, { shop: 100_000 });
    expect(coordinator.assessment("a")?.state).toBe("evaluating");
    coordinator.advance(112_000, { h1: 110_000 }, { shop: 100_000 });
    expect(coordinator.assessment("a")?.state).toBe("evaluating");
    coordinator.advance(113_000, { h1: 110_000 }, { shop: 110_000 });
    expect(coordinator.assessment("a")?.history.map((h) => h.state)).toEqual([
      "pending",
      "collecting",
      "collected",
      "evaluating",
      "completed",
    ]);
    expect(coordinator.assessment("a")?.exclusions).toEqual([]);
  });

  test("a host that stays silent is excluded by name, and the assessment completes with errors", () => {
    const coordinator = shop();
    coordinator.send({ type: "start_assessment", id: "a", template_id: "hourly" }, 20_500);
    coordinator.advance(110_000, { h1: 90_000 });
    coordinator.advance(171_999, { h1: 90_000 });
    expect(coordinator.assessment("a")?.state).toBe("evaluating");
    coordinator.advance(172_000, { h1: 90_000 });
    expect(coordinator.assessment("a")).toMatchObject({
      state: "completed_with_errors",
      exclusions: [{ host_id: "h1", reason: "silent_host", detail: "evaluated through 1970-01-01T00:01:30.000Z only" }],
    });
  });

  test("after an outage of the services the hosts get their time anew, before any is excluded", () => {
    const coordinator = shop();
    coordinator.send({ type: "start_assessment", id: "a", template_id: "hourly" }, 20_500);
    coordinator.advance(900_000, { h1: 90_000 }, {}, 899_000);
    coordinator.advance(960_999, { h1: 90_000 }, {}, 899_000);
    expect(coordinator.assessment("a")?.state).toBe("evaluating");
    coordinator.advance(961_000, { h1: 90_000 }, {}, 899_000);
    expect(coordinator.assessment("a")?.state).toBe("completed_with_errors");
  });

  test("rounds of a day are for continuous ones, also the last, cut short; any other is one period, however long", () => {
    const day = 86_400_000;
    const coordinator = shop();
    const put = (id: string, duration_ms: number | "continuous") => {
      coordinator.send({ type: "put_template", id, expected_version: 0, template: { ...template, duration_ms } }, 4);
      coordinator.send({ type: "start_assessment", id, template_id: id }, 5);
    };
    put("always", "continuous");
    put("two-days", 2 * day);
    const membership = membershipBy(coordinator.control);
    const host = { host_id: "h1", host_name: "h1.example", agent_tags: {} };
    const spans = (at: number) => membership(host, at, at + window_ms).assessments.map((a) => [a.begins_at, a.ends_at]);
    expect(spans(30_000 + day)).toEqual([
      [30_000 + day, 30_000 + 2 * day],
      [30_000, 30_000 + 2 * day],
    ]);
    coordinator.send({ type: "stop_assessment", id: "always", evaluate: true }, 30_000 + day);
    expect(spans(60_000 + day)).toEqual([[30_000, 30_000 + 2 * day]]);
    expect(spans(50_000 + day)).toEqual([
      [30_000 + day, 60_000 + day],
      [30_000, 30_000 + 2 * day],
    ]);
  });

  test("a continuous one goes on until it is stopped, and then ends on an edge that its last window knows of", () => {
    const coordinator = shop();
    coordinator.send(
      { type: "put_template", id: "always", expected_version: 0, template: { ...template, duration_ms: "continuous" } },
      4,
    );
    coordinator.send({ type: "start_assessment", id: "a", template_id: "always" }, 5);
    coordinator.advance(10_000_000);
    expect(coordinator.assessment("a")).toMatchObject({ state: "collecting", ends_at: null });
    coordinator.send({ type: "stop_assessment", id: "a", evaluate: true }, 10_000_000);
    expect(coordinator.assessment("a")?.ends_at).toBe(10_030_000);
    const membership = membershipBy(coordinator.control);
    const host = { host_id: "h1", host_name: "h1.example", agent_tags: {} };
    expect(membership(host, 10_020_000, 10_030_000).assessments).toMatchObject([{ assessment_id: "a", ends_at: 10_030_000 }]);
    expect(membership(host, 10_030_000, 10_040_000).assessments).toEqual([]);
  });

  test("cancelling ends it, once", () => {
    const coordinator = shop();
    coordinator.send({ type: "start_assessment", id: "a", template_id: "hourly" }, 5);
    expect(coordinator.send({ type: "stop_assessment", id: "a", evaluate: false }, 6)).toMatchObject({ result: "accepted" });
    expect(coordinator.assessment("a")?.state).toBe("cancelled");
    expect(coordinator.send({ type: "stop_assessment", id: "a", evaluate: false }, 7)).toMatchObject({
      reason: "not_allowed_in_state",
    });
  });
});

describe("membership", () => {
  const host = { host_id: "h1", host_name: "h1.example", agent_tags: { os: "debian" } };

  test("is what control said for the window, with the tiers, and the agent's tags under agent:", () => {
    const membership = membershipBy(shop().control);
    expect(membership(host, 20_000, 30_000)).toMatchObject({ applications: [], assessments: [] });
    expect(membership(host, 30_000, 40_000)).toEqual({
      tags: { team: "shop", role: "db", "agent:os": "debian", host: "h1", name: "h1.example" },
      applications: [{ application_id: "shop", version: 1, tiers: ["data"] }],
      assessments: [],
    });
  });

  test("a late window gets the members that it had, whatever control says now", () => {
    const coordinator = shop();
    coordinator.send(
      { type: "put_application", id: "shop", expected_version: 1, application: { ...application, selector: { any: [] } } },
      100_000,
    );
    const membership = membershipBy(coordinator.control);
    expect(membership(host, 110_000, 120_000).applications).toHaveLength(1);
    expect(membership(host, 120_000, 130_000).applications).toHaveLength(0);
    expect(membership(host, 50_000, 60_000).applications).toHaveLength(1);
  });
});
