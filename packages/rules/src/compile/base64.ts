/** What a text looks like once it has been encoded by base64, alone or in the middle of a longer one. */

export type Encoding = "utf8" | "utf16le" | "utf16be" | "utf16";

export function base64(text: string, encoding: Encoding): string {
  return bytesOf(text, encoding).toString("base64");
}

/**
 * The three ways in which the text may appear inside a longer encoded one, by its position in groups of three bytes; without the
 * characters that also hold bits of what stands before or after.
 */
export function base64Offsets(text: string, encoding: Encoding): string[] {
  const bytes = bytesOf(text, encoding);
  return [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
    const start = [0, 2, 3][offset] ?? 0;
    const end = [0, 3, 2][(bytes.length + offset) % 3] ?? 0;
    return encoded.slice(start, encoded.length - end);
  });
}

function bytesOf(text: string, encoding: Encoding): Buffer {
  if (encoding === "utf8") return Buffer.from(text, "utf8");
  const little = Buffer.from(text, "utf16le");
  if (encoding === "utf16le") return little;
  return encoding === "utf16be" ? little.swap16() : Buffer.concat([Buffer.from([0xff, 0xfe]), little]);
}
