/**
 * Keeps a record within what the log takes. Every host can bring about a window that is too large for it: a build starts thousands
 * of processes with long command lines. Then what doesn't fit is left out, and the caller counts it.
 */

/** Under 1 MiB, which both logs take, by what a record needs besides its value. */
export const record_bytes_max = 1_000_000;

/**
 * Which elements of each list to keep so that all take at most room_bytes: short lists whole, long ones an equal share of what is
 * left. Sizes are those of the JSON, which is never smaller than the Avro; the same lists give the same answer.
 */
export function fit<L extends Readonly<Record<string, readonly unknown[]>>>(lists: L, room_bytes: number): L {
  const sized = Object.entries(lists).map(([name, elements]) => {
    const sizes = elements.map(jsonBytes);
    return { name, elements, sizes, total: sizes.reduce((sum, size) => sum + size, 0) };
  });
  sized.sort((a, b) => a.total - b.total);
  let room = room_bytes;
  const kept = sized.map(({ name, elements, sizes }, i): [string, unknown[]] => {
    let share = Math.floor(room / (sized.length - i));
    const some = elements.filter((_, n) => {
      const size = sizes[n] ?? 0;
      if (size > share) return false;
      share -= size;
      room -= size;
      return true;
    });
    return [name, some];
  });
  return { ...lists, ...Object.fromEntries(kept) };
}

export function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value)) + 1;
}
