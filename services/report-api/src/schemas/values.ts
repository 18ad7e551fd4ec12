/** Kinds of values that requests and answers are made of. */
import { z } from "zod";

/** An instant in answers. */
export const instantSchema = z.string().meta({ format: "date-time", description: "RFC 3339, UTC, milliseconds" });

export function instant(ms: number): string {
  return new Date(ms).toISOString();
}

export function instantOrNull(ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : instant(ms);
}

const instant_length_max = 40;
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;
/** Times that ClickHouse's DateTime64(3) holds. */
const instant_min = Date.UTC(1970, 0, 1);
const instant_max = Date.UTC(2200, 0, 1);

/** An instant in requests; parsed to milliseconds since 1970. */
export const instantInputSchema = z
  .string()
  .max(instant_length_max)
  .meta({ format: "date-time", description: "RFC 3339 with an offset, such as 2026-05-20T08:00:00Z" })
  .transform((text, context) => {
    const ms = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
    if (ms >= instant_min && ms < instant_max) return ms;
    context.addIssue({
      code: "custom",
      message: "is not an RFC 3339 time with an offset, such as 2026-05-20T08:00:00Z",
      input: text,
    });
    return z.NEVER;
  });

export const flagInputSchema = z.enum(["true", "false"]).transform((text) => text === "true");

/** Ids and names in filters, of hosts, rules, findings. */
export const name_length_max = 256;
export const nameInputSchema = z.string().min(1).max(name_length_max);

/** Values that one filter may list. */
export const filter_values_max = 100;

/** A filter that lists values: given comma-separated, or repeated. */
export function listOf<T extends z.ZodType>(item: T) {
  return z.array(item).min(1).max(filter_values_max).optional();
}

export const countSchema = z.number().int().min(0);
/** Counts by a name from an open set. */
export const countsSchema = z.record(z.string(), countSchema);
