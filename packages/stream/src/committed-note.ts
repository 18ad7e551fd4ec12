/** What a stage commits beside its position. */
export interface Note {
  /** Epoch of the checkpoint; 0: none yet. */
  readonly e: number;
  /** Where its restore begins to read; left out by older releases: at the start. */
  readonly at?: number;
  /** End of the block that was being written … */
  readonly to?: number;
  /** … and the timestamp of its first record, which may be gone by the time at which it is built again. Left out by older releases. */
  readonly origin?: number;
}

export function readNote(stage: string, text: string): Note {
  const note: unknown = JSON.parse(text);
  if (typeof note !== "object" || note === null || !("e" in note) || typeof note.e !== "number") {
    throw new Error(`the note committed for stage ${stage} isn't one of its own: ${text}`);
  }
  return {
    e: note.e,
    ...("at" in note && typeof note.at === "number" && { at: note.at }),
    ...("to" in note && typeof note.to === "number" && { to: note.to }),
    ...("origin" in note && typeof note.origin === "number" && { origin: note.origin }),
  };
}
