/** Dead letters for a terminal: what came from outside is shown so that it can't act there. */
import { Codec, type Decoded, folderIds } from "@assay/schemas/codec";
import { renderTable } from "../report/columns";
import type { StandingLetter } from "./letter";

export interface LetterLine {
  readonly id: string;
  readonly at: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly host_id: string;
  readonly key: string;
  readonly reason: string;
  readonly detail: string;
  readonly service: string;
  readonly bytes: number;
  readonly replayed_at: string | null;
}

export function letterLine({ id, letter, replayed_at }: StandingLetter): LetterLine {
  return {
    id,
    at: new Date(letter.at).toISOString(),
    topic: letter.topic,
    partition: letter.partition,
    offset: letter.offset,
    host_id: letter.host_id,
    key: letter.key?.toString() ?? "",
    reason: letter.reason,
    detail: letter.detail,
    service: letter.service,
    bytes: letter.value?.length ?? 0,
    replayed_at: replayed_at === undefined ? null : new Date(replayed_at).toISOString(),
  };
}

export function letterTable(lines: readonly LetterLine[]): string {
  return renderTable(
    ["id", "time", "topic", "place", "host or key", "reason", "bytes", "replayed"],
    lines.map((line) => [
      line.id,
      line.at,
      visible(line.topic),
      line.offset < 0 ? "never in the log" : `${line.partition}:${line.offset}`,
      visible(line.host_id || line.key).slice(0, key_length_max),
      visible(line.reason),
      line.bytes,
      line.replayed_at ?? "",
    ]),
  );
}

const key_length_max = 40;
const hex_bytes_max = 4_096;
const hex_bytes_per_line = 16;

export function letterText(line: LetterLine, value: Buffer | null, decoded: Decoded | undefined): string {
  const place = line.offset < 0 ? "never in the log" : `partition ${line.partition}, offset ${line.offset}`;
  const head = [
    ["id", line.id],
    ["time", line.at],
    ["reason", visible(line.reason)],
    ["detail", visible(line.detail)],
    ["told by", visible(line.service)],
    ["topic", `${visible(line.topic)} (${place})`],
    ["host", visible(line.host_id)],
    ["key", visible(line.key)],
    ["bytes", String(line.bytes)],
    ["replayed", line.replayed_at ?? "no"],
  ].map(([name = "", text = ""]) => `${name.padEnd(9)} ${text}`.trimEnd());
  return `${head.join("\n")}\n\n${content(value, decoded)}\n`;
}

function content(value: Buffer | null, decoded: Decoded | undefined): string {
  if (value === null) return "Its bytes were not kept.";
  if (decoded && decoded.name !== "undecodable") return `${decoded.name}\n${plainJson(decoded.value)}`;
  const lines: string[] = [];
  for (let at = 0; at < Math.min(value.length, hex_bytes_max); at += hex_bytes_per_line) {
    const bytes = value.subarray(at, Math.min(at + hex_bytes_per_line, hex_bytes_max));
    const text = bytes.toString("latin1").replaceAll(/[^\x20-\x7e]/g, ".");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex(bytes).padEnd(hex_bytes_per_line * 3 - 1)}  ${text}`);
  }
  const more = value.length - hex_bytes_max;
  if (more > 0) lines.push(`… ${more} bytes more (--raw writes them all)`);
  return lines.join("\n");
}

function hex(bytes: Buffer): string {
  return (bytes.toString("hex").match(/../g) ?? []).join(" ");
}

/** Bytes in it as base64. */
export function plainJson(value: unknown): string {
  return visibleLines(
    JSON.stringify(
      value,
      (_key, part: unknown) => {
        const bytes = part as { readonly type?: unknown; readonly data?: unknown };
        // What a Buffer's own toJSON has made of it.
        return bytes?.type === "Buffer" && Array.isArray(bytes.data)
          ? Buffer.from(bytes.data as number[]).toString("base64")
          : part;
      },
      2,
    ),
  );
}

/** Control characters, and those that reorder text, as escapes. */
export function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]/gu, escaped);
}

function visibleLines(text: string): string {
  return text.split("\n").map(visible).join("\n");
}

/** By UTF-16 unit, as JSON and JavaScript read it. */
function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`).join(
    "",
  );
}

/** Undefined where its bytes were not kept. What ingest refused has the ids of agents, which are the schemas folder's. */
export function decodedOf({ letter: { offset, value } }: StandingLetter, codec: Codec): Decoded | undefined {
  if (value === null) return undefined;
  return (offset < 0 ? new Codec(folderIds()) : codec).decode(value);
}
