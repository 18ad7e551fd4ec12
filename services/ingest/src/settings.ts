/** What an operator may set of ingest, and the limits that only the code sets. */
import { defineSettings, duration_ms, integer, type SettingsOf, secret, text } from "@assay/runtime/settings";

const mebibyte = 1024 * 1024;

export const ingestSettings = defineSettings({
  host: text("ASSAY_INGEST_HOST", { default: "127.0.0.1", doc: "Address on which ingest listens for agents." }),
  port: integer("ASSAY_INGEST_PORT", {
    default: 8081,
    min: 0,
    max: 65_535,
    doc: "Port on which ingest listens; 0 takes any free one.",
  }),
  enrol_secret: secret("ASSAY_ENROL_SECRET", {
    length_min: 16,
    doc: "What an agent proves to know, to have a credential of its own. It is never sent. Make it at random. Enrolment is off where it isn't set.",
  }),
  body_bytes_max: integer("ASSAY_INGEST_BODY_BYTES_MAX", {
    default: 4 * mebibyte,
    min: 64 * 1024,
    max: 64 * mebibyte,
    unit: "bytes",
    doc: "Largest request body, as it is sent.",
  }),
  decompressed_bytes_max: integer("ASSAY_INGEST_DECOMPRESSED_BYTES_MAX", {
    default: 16 * mebibyte,
    min: 64 * 1024,
    max: 256 * mebibyte,
    unit: "bytes",
    doc: "Largest request body, decompressed.",
  }),
  events_max: integer("ASSAY_INGEST_EVENTS_MAX", {
    default: 10_000,
    min: 100,
    max: 100_000,
    unit: "events",
    doc: "Most events in one batch of telemetry.",
  }),
  text_bytes_max: integer("ASSAY_INGEST_TEXT_BYTES_MAX", {
    default: 64 * 1024,
    min: 1024,
    max: mebibyte,
    unit: "bytes",
    doc: "Longest text in a record, such as a command line.",
  }),
  requests_in_flight_max: integer("ASSAY_INGEST_REQUESTS_IN_FLIGHT_MAX", {
    default: 64,
    min: 1,
    max: 10_000,
    unit: "requests",
    doc: "Most requests that are read or appended at one time; agents past it are asked to come back.",
  }),
  stop_wait_ms: duration_ms("ASSAY_INGEST_STOP_WAIT_MS", {
    default: 5_000,
    min: 100,
    max: 60_000,
    doc: "How long requests in hand may take once ingest is told to stop.",
  }),
});
export type IngestSettings = SettingsOf<typeof ingestSettings>;

export const ingestRelations = [
  {
    between: ["body_bytes_max", "decompressed_bytes_max"] as const,
    problem: (s: Pick<IngestSettings, "body_bytes_max" | "decompressed_bytes_max">) =>
      s.decompressed_bytes_max < s.body_bytes_max
        ? `decompressed limit of ${s.decompressed_bytes_max} bytes (ASSAY_INGEST_DECOMPRESSED_BYTES_MAX) is below the body's limit of ` +
          `${s.body_bytes_max} bytes (ASSAY_INGEST_BODY_BYTES_MAX)`
        : undefined,
  },
];

/** Of one list inside an event: as many as there are ports, since a process may listen on all of them to have its batch refused. */
export const nested_elements_max = 65_536;
/** Of all lists of a record. */
export const elements_total_max = 1_000_000;
/** The agent cuts an inventory section into chunks of at most this. */
export const chunk_bytes_max = 512 * 1024;
/** Chunks of one inventory section. */
export const chunks_max = 64;
/** What an agent may say of itself. */
export const tags_max = 100;
/** How far an event's time may lie after the batch's sent_at: an agent's clock that was set back in between. */
export const event_ahead_ms_max = 24 * 3_600_000;
/** How far an event's time may lie before the batch's sent_at: a spool kept through a long absence. */
export const event_behind_ms_max = 31 * 24 * 3_600_000;
/** An agent has one batch and one section in flight; a few more for attempts that it has given up. */
export const host_requests_in_flight_max = 4;
/** Of a refused record's bytes, kept in its dead letter. */
export const dead_letter_bytes_max = 512 * 1024;
/** Of a dead letter's explanation. */
export const dead_letter_detail_length_max = 2_000;
/**
 * What one host may have kept as dead letters: this many at once, refilled evenly over a minute. Past either it is refused all the
 * same, and counted, but what it sent isn't stored: else one broken agent would fill the topic.
 */
export const host_dead_letters_per_minute_max = 60;
export const host_dead_letter_bytes_per_minute_max = 8 * mebibyte;
/** Hosts with less than their full allowance; past it those that aren't known wait for one that is full again. */
export const dead_letter_hosts_max = 10_000;
export const enrol_body_bytes_max = 16 * 1024;
export const enrolments_in_flight_max = 8;
/** How long an agent may take from a challenge to its proof. */
export const challenge_age_ms_max = 60_000;
/** By how much the clock of the ingest that gave a challenge may be ahead of the one that takes it. */
export const challenge_ahead_ms_max = 30_000;
/** What is read and thrown away of a body that is refused unread, so that its sender reads the answer instead of a reset. */
export const discard_bytes_max = 8 * mebibyte;
/** From the first byte of a request to its last. */
export const request_wait_ms_max = 30_000;
/** How long a request waits for the log: an agent waits a little longer for its answer. */
export const append_wait_ms_max = 10_000;
/** An agent sends every few seconds; its connection stays open in between. */
export const keep_alive_ms = 65_000;
export const connections_max = 10_000;
/** When an agent should come back: the log is full, too much is in hand, or something else is wrong for now. */
export const log_full_retry_s = 30;
export const overloaded_retry_s = 1;
export const failed_retry_s = 5;
/** The newest control is read at most this often: how old a withdrawn credential may be and still work. */
export const control_age_ms_max = 1_000;
/** A credential that doesn't fit may be newer than what was read; then control is read again at most this often. */
export const control_reread_ms_min = 100;
