/** What `assay dead-letters` asks of a log, and its answer: plain data, since the embedded log is opened by another process. */
import type { Codec } from "@assay/schemas/codec";
import type { Log } from "@assay/stream/log";
import type { OpenLog } from "../distributed/open-log";
import { UserError } from "../io";
import type { LetterFilter, LetterId, StandingLetter } from "./letter";
import { findLetter, findLetters, type LetterLog, replayedLetters, standingLetters } from "./read-letters";
import { type IngestLimits, judge } from "./replay";
import { decodedOf, type LetterLine, letterLine, letterText, plainJson } from "./show";

export type LettersRequest =
  | { readonly action: "list"; readonly filter: LetterFilter; readonly letters_max: number }
  | { readonly action: "show"; readonly id: LetterId }
  | {
      readonly action: "replay";
      readonly which: { readonly id: LetterId } | { readonly filter: LetterFilter };
      readonly limits: IngestLimits;
      /** Else it only tells what it would do. */
      readonly really: boolean;
    };

export type LettersAnswer =
  | { readonly action: "list"; readonly lines: readonly LetterLine[]; readonly total: number }
  | {
      readonly action: "show";
      readonly found?: {
        readonly line: LetterLine;
        readonly text: string;
        readonly decoded?: string;
        readonly base64: string | null;
      };
    }
  | {
      readonly action: "replay";
      readonly replayed: number;
      readonly not: number;
      /** Why not, of the first ones. */
      readonly reasons: readonly { readonly id: string; readonly not: string }[];
    };

const reasons_max = 100;

export interface LettersPlace extends Pick<OpenLog, "codec" | "learn"> {
  readonly log: LetterLog & Pick<Log, "append">;
}

/** Rejects with UserError where a replay fails midway. */
export async function perform(request: LettersRequest, place: LettersPlace, now: number): Promise<LettersAnswer> {
  const { log, codec } = place;
  switch (request.action) {
    case "list": {
      const { lines, total } = await findLetters(log, codec, request.filter, request.letters_max);
      return { action: "list", lines, total };
    }
    case "show": {
      const found = await findLetter(log, codec, request.id);
      if (!found) return { action: "show" };
      await learnContent(place, found);
      return { action: "show", found: shown(found, codec) };
    }
    case "replay":
      return replay(request, place, now);
  }
}

/** What stood in the log has a schema of the log's ids, which stands in the letter and not before it. */
async function learnContent({ learn }: LettersPlace, { letter }: StandingLetter): Promise<void> {
  if (letter.offset >= 0) await learn([{ value: letter.value }]);
}

function shown(found: StandingLetter, codec: Codec) {
  const line = letterLine(found);
  const decoded = decodedOf(found, codec);
  const { value } = found.letter;
  return {
    line,
    text: letterText(line, value, decoded),
    ...(decoded && decoded.name !== "undecodable" ? { decoded: plainJson(decoded) } : {}),
    base64: value?.toString("base64") ?? null,
  };
}

async function replay(
  { which, limits, really }: Extract<LettersRequest, { action: "replay" }>,
  place: LettersPlace,
  now: number,
): Promise<LettersAnswer> {
  const { log, codec } = place;
  const reasons: { id: string; not: string }[] = [];
  let replayed = 0;
  let not = 0;
  try {
    for await (const found of meant(which, log, codec)) {
      await learnContent(place, found);
      const judged = judge(found, codec, limits, now);
      if ("not" in judged) {
        not++;
        if (reasons.length < reasons_max) reasons.push({ id: found.id, not: judged.not });
        continue;
      }
      // The record, then its mark: where the mark is lost, a second replay is a repeat like any other.
      if (really) for (const record of judged.records) await log.append([record]);
      replayed++;
    }
  } catch (error) {
    if (!really) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(
      `the replay failed after ${replayed} ${replayed === 1 ? "letter" : "letters"}: ${why}. It can be run again: what was replayed is left then`,
      { cause: error },
    );
  }
  return { action: "replay", replayed, not, reasons };
}

async function* meant(
  which: { readonly id: LetterId } | { readonly filter: LetterFilter },
  log: LetterLog,
  codec: Codec,
): AsyncGenerator<StandingLetter> {
  if ("filter" in which) {
    yield* standingLetters(log, codec, await replayedLetters(log, codec), which.filter);
    return;
  }
  const found = await findLetter(log, codec, which.id);
  if (found) yield found;
}
