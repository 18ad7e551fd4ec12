/** The disk, or this user's share of it, is full: it passes when somebody makes room, so it is waited for, and is no fault of who met it. */
export class DiskFullError extends Error {
  override readonly name = "DiskFullError";
}

/** Whether the system refused room for a file. */
export function isOutOfRoom(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && no_room_codes.includes((error as NodeJS.ErrnoException).code ?? "");
}

/** Whether ClickHouse says so, in what it writes before it ends. */
export function saysOutOfRoom(text: string): boolean {
  return no_room_words.test(text);
}

const no_room_codes = ["ENOSPC", "EDQUOT"];
const no_room_words = /NOT_ENOUGH_SPACE|No space left on device|Disk quota exceeded/;
