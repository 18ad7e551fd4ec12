/** A dead letter where it stands, and which of them are meant. */
import type { DeadLetter } from "@assay/schemas/generated/types";

/** Plain data, but for the bytes. */
export interface StandingLetter {
  /** partition:offset in the topic of dead letters. */
  readonly id: string;
  readonly letter: DeadLetter;
  /** When it was replayed, ms; undefined where it wasn't. */
  readonly replayed_at: number | undefined;
}

export interface LetterFilter {
  readonly reason?: string;
  readonly topic?: string;
  /** ms; letters from then on. */
  readonly since?: number;
}

export interface LetterId {
  readonly partition: number;
  readonly offset: number;
}

export function parseLetterId(text: string): LetterId | undefined {
  const found = /^(\d{1,5}):(\d{1,15})$/.exec(text);
  return found ? { partition: Number(found[1]), offset: Number(found[2]) } : undefined;
}

export function isMeant({ letter }: StandingLetter, { reason, topic, since }: LetterFilter): boolean {
  return (
    (reason === undefined || letter.reason === reason) &&
    (topic === undefined || letter.topic === topic) &&
    (since === undefined || letter.at >= since)
  );
}
