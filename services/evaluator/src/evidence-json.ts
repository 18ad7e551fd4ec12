/**
 * Evidence as JSON of bounded size. What is too long is cut, longest parts first, and `cut` says so: a reader never takes a part
 * for the whole.
 */
export const evidence_bytes_max = 8 * 1024;

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type EvidenceJson = { readonly [key: string]: Json | undefined };

export function evidenceJson(evidence: EvidenceJson): string {
  const whole = JSON.stringify(evidence);
  if (Buffer.byteLength(whole) <= evidence_bytes_max) return whole;
  for (const length_max of [2048, 512, 128, 32]) {
    const text = JSON.stringify({ ...(shorten(evidence as Json, length_max) as EvidenceJson), cut: true });
    if (Buffer.byteLength(text) <= evidence_bytes_max) return text;
  }
  return JSON.stringify({ cut: true, bytes: Buffer.byteLength(whole) });
}

const elements_max = 16;

function shorten(value: Json, length_max: number): Json {
  if (typeof value === "string") {
    return value.length <= length_max ? value : `${value.slice(0, length_max)}…(${value.length - length_max} characters cut)`;
  }
  if (Array.isArray(value)) return value.slice(0, elements_max).map((element: Json) => shorten(element, length_max));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, element]) => [key, shorten(element, length_max)]));
}
