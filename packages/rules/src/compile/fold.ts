/**
 * How letters are folded where case doesn't count. A text and what it is compared with are both folded by this, once each.
 * The final sigma is made an ordinary one: toLowerCase chooses it by what follows, so a part would differ from the same part
 * inside a longer text.
 */
export function fold(text: string): string {
  const lower = text.toLowerCase();
  return lower.includes("ς") ? lower.replaceAll("ς", "σ") : lower;
}
