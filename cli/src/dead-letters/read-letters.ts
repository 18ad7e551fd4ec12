/**
 * Dead letters as they stand in their topic. Among them stand the marks of replays (replay-mark.ts), which are none themselves: each
 * names the letter that was replayed.
 */
import type { Codec } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { Log } from "@assay/stream/log";
import { isMeant, type LetterFilter, type LetterId, type StandingLetter } from "./letter";
import { replayedLetter } from "./replay-mark";
import { type LetterLine, letterLine } from "./show";

export type LetterLog = Pick<Log, "partitions" | "read" | "bounds">;

export interface FoundLetters {
  /** The newest, oldest first. */
  readonly lines: readonly LetterLine[];
  /** How many there are in all. */
  readonly total: number;
}

const read_records_max = 100;
/** Lines are sorted out of memory's way once this many more than asked for are held. */
const spare_lines_max = 1_000;

/** Holds about letters_max lines, and no letter's bytes, however many there are. */
export async function findLetters(
  log: LetterLog,
  codec: Codec,
  filter: LetterFilter,
  letters_max: number,
): Promise<FoundLetters> {
  const replayed = await replayedLetters(log, codec);
  let kept: { readonly at: number; readonly line: LetterLine }[] = [];
  let total = 0;
  const newest = () => kept.sort((a, b) => a.at - b.at).slice(-letters_max);
  for await (const found of standingLetters(log, codec, replayed, filter)) {
    total++;
    kept.push({ at: found.letter.at, line: letterLine(found) });
    if (kept.length >= letters_max + spare_lines_max) kept = newest();
  }
  return { lines: newest().map(({ line }) => line), total };
}

/** Undefined where none stands there. */
export async function findLetter(log: LetterLog, codec: Codec, id: LetterId): Promise<StandingLetter | undefined> {
  if (id.partition >= log.partitions(topics.deadLetters.name)) return undefined;
  const { earliest, end } = await log.bounds(topics.deadLetters.name, id.partition);
  if (id.offset < earliest || id.offset >= end) return undefined;
  const [record] = await log.read(topics.deadLetters.name, id.partition, id.offset, 1);
  if (record?.offset !== id.offset) return undefined;
  const decoded = record.value ? codec.decode(record.value) : undefined;
  if (decoded?.name !== "DeadLetter" || replayedLetter(decoded.value) !== undefined) return undefined;
  const name = `${id.partition}:${id.offset}`;
  return { id: name, letter: decoded.value, replayed_at: (await replayedLetters(log, codec)).get(name) };
}

/** Those that are meant, each partition's oldest first. What is appended meanwhile isn't among them. */
export async function* standingLetters(
  log: LetterLog,
  codec: Codec,
  replayed: ReadonlyMap<string, number>,
  filter: LetterFilter,
): AsyncGenerator<StandingLetter> {
  for await (const { id, letter } of allLetters(log, codec)) {
    const found = { id, letter, replayed_at: replayed.get(id) };
    if (replayedLetter(letter) === undefined && isMeant(found, filter)) yield found;
  }
}

/** When, by the letters' ids. */
export async function replayedLetters(log: LetterLog, codec: Codec): Promise<Map<string, number>> {
  const replayed = new Map<string, number>();
  for await (const { letter } of allLetters(log, codec)) {
    const id = replayedLetter(letter);
    if (id !== undefined && !replayed.has(id)) replayed.set(id, letter.at);
  }
  return replayed;
}

async function* allLetters(log: LetterLog, codec: Codec): AsyncGenerator<Omit<StandingLetter, "replayed_at">> {
  const { name } = topics.deadLetters;
  for (let partition = 0; partition < log.partitions(name); partition++) {
    const { earliest, end } = await log.bounds(name, partition);
    for (let next = earliest; next < end; ) {
      const records = await log.read(name, partition, next, read_records_max);
      const last = records.at(-1);
      if (!last) break;
      next = last.offset + 1;
      for (const { offset, value } of records) {
        const decoded = value ? codec.decode(value) : undefined;
        if (decoded?.name === "DeadLetter") yield { id: `${partition}:${offset}`, letter: decoded.value };
      }
    }
  }
}
