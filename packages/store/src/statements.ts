/**
 * The statements of an SQL file: cut at semicolons that stand outside of strings, quoted names and comments. Comments go; a file that ends
 * within a string or a comment is an error.
 */
export function statements(sql: string): readonly string[] {
  const found: string[] = [];
  let current = "";
  for (const token of tokens(sql)) {
    if (token === ";") {
      if (current.trim() !== "") found.push(current.trim());
      current = "";
    } else {
      current += isComment(token) ? " " : token;
    }
  }
  if (current.trim() !== "") found.push(current.trim());
  return found;
}

/** Comments, quoted pieces, words (names without quotes, keywords, numbers), runs of space, and else single characters; joined they are the SQL again. */
export function tokens(sql: string): readonly string[] {
  const found: string[] = [];
  let at = 0;
  while (at < sql.length) {
    const length = tokenLength(sql, at);
    found.push(sql.slice(at, at + length));
    at += length;
  }
  return found;
}

function isComment(token: string): boolean {
  return token.startsWith("--") || token.startsWith("/*");
}

function tokenLength(sql: string, at: number): number {
  const character = sql.charAt(at);
  if (sql.startsWith("--", at)) return to(sql, at, sql.indexOf("\n", at), 0, sql.length);
  if (sql.startsWith("/*", at)) return to(sql, at, sql.indexOf("*/", at + 2), 2, undefined);
  if (character === "'" || character === '"' || character === "`")
    return to(sql, at, closingQuote(sql, at, character), 1, undefined);
  return run(sql, at, /[A-Za-z0-9_]/) || run(sql, at, /\s/) || 1;
}

/** How many characters of this kind stand here one after the other. */
function run(sql: string, at: number, kind: RegExp): number {
  let end = at;
  while (end < sql.length && kind.test(sql.charAt(end))) end += 1;
  return end - at;
}

function to(sql: string, at: number, end: number, end_length: number, otherwise: number | undefined): number {
  if (end >= 0) return end + end_length - at;
  if (otherwise !== undefined) return otherwise - at;
  throw new Error(`SQL ends within what begins with: ${sql.slice(at, at + 40)}`);
}

/** A doubled quote reads as two quoted pieces, one after the other, which cuts the same. */
function closingQuote(sql: string, at: number, quote: string): number {
  for (let i = at + 1; i < sql.length; i += 1) {
    if (sql.charAt(i) === "\\") i += 1;
    else if (sql.charAt(i) === quote) return i;
  }
  return -1;
}
