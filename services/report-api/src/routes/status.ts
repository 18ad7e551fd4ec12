/** Totals, for live lines and health checks of whole installations. */
import type { AssessmentState } from "@assay/control/entities";
import { findingsBySeverity } from "../assessment-summary";
import type { Control } from "../control";
import { type Route, route } from "../http/route";
import type { Store } from "../queries/read";
import { hostTotals, totals } from "../queries/status";
import { type Status, statusSchema } from "../schemas/status";
import { instant, instantOrNull } from "../schemas/values";

/** How far back windows are looked at to tell which hosts are active: spooled ones may be old. */
export const active_windows_ms_max = 24 * 3_600_000;

export function statusRoutes(store: Store, control: Control, silent_after_ms: number): Route[] {
  return [
    route({
      method: "get",
      path: "/api/v1/status",
      operation: "getStatus",
      tag: "status",
      summary: "Totals: hosts, telemetry, windows, active findings by severity",
      role: "viewer",
      response: statusSchema,
      handle: async () => ({ body: await status(store, control, silent_after_ms, Date.now()) }),
    }),
  ];
}

async function status(store: Store, control: Control, silent_after_ms: number, now: number): Promise<Status> {
  const [sums, hosts, active] = await Promise.all([
    totals(store),
    hostTotals(store, now - silent_after_ms, now - active_windows_ms_max),
    findingsBySeverity(store, { status: ["active"] }, undefined),
  ]);
  const running = control.view.all("assessment").filter(({ value }) => runningStates.has(value.state)).length;
  return {
    at: instant(now),
    hosts: { enrolled: control.view.all("agent").length, observed: hosts.observed, active: hosts.active },
    telemetry: { events: sums.events, dropped: sums.dropped },
    windows: {
      closed: sums.windows,
      late_parts: sums.supplements,
      last_closed: instantOrNull(hosts.last_window_end_ms || null),
    },
    findings: { active },
    assessments: { running },
  };
}

const runningStates: ReadonlySet<AssessmentState> = new Set(["pending", "collecting", "collected", "evaluating"]);
