/** What `assay dead-letters` asks of a log, and its answer: plain data, since the embedded log is opened by another process. */
import type { Codec } from "@assay/schemas/codec";
import type { Log } from "@assay/stream/log";
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

export async function perform(
  request: LettersRequest,
  log: LetterLog & Pick<Log, "append">,
  codec: Codec,
  now: number,
): Promise<LettersAnswer> {
  switch (request.action) {
    case "list": {
      const { letters, total } = await findLetters(log, codec, request.filter, request.letters_max);
      return { action: "list", lines: letters.map(letterLine), total };
    }
    case "show": {
      const found = await findLetter(log, codec, request.id);
      return { action: "show", ...(found ? { found: shown(found, codec) } : {}) };
    }
    case "replay":
      return replay(request, log, codec, now);
  }
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
  log: LetterLog & Pick<Log, "append">,
  codec: Codec,
  now: number,
): Promise<LettersAnswer> {
  const reasons: { id: string; not: string }[] = [];
  let replayed = 0;
  let not = 0;
  for await (const found of meant(which, log, codec)) {
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
