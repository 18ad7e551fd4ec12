/** Settings of the report API. */
import { defineSettings, duration_ms, integer, type SettingsOf, text } from "@assay/runtime/settings";

export const reportApiSettings = defineSettings({
  host: text("ASSAY_REPORT_API_HOST", { doc: "Address on which the report API listens.", default: "127.0.0.1", length_max: 255 }),
  port: integer("ASSAY_REPORT_API_PORT", {
    doc: "Port of the report API; 0 for any free one.",
    default: 8080,
    min: 0,
    max: 65_535,
  }),
  silent_after_ms: duration_ms("ASSAY_REPORT_API_SILENT_AFTER_MS", {
    doc: "A host is shown as silent when nothing was received from it that closed a window for this long. Longer than a window and its lateness.",
    default: 60_000,
    min: 5_000,
    max: 86_400_000,
  }),
  requests_in_flight_max: integer("ASSAY_REPORT_API_REQUESTS_IN_FLIGHT_MAX", {
    doc: "Most requests in hand at one time, each with its queries; past it they are answered 503 and asked to come back.",
    default: 32,
    min: 1,
    max: 10_000,
    unit: "requests",
  }),
});
export type ReportApiSettings = SettingsOf<typeof reportApiSettings>;

/** When a caller should come back because too much is in hand. */
export const overloaded_retry_s = 1;
