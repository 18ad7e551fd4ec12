/**
 * Secrets in command lines, replaced by a mark before anything leaves the process or touches the disk. What counts as a secret
 * stands in three tables: names (secretName), programs whose short options carry one (programOptions), and shapes (shapes).
 *
 * In doubt a value is replaced: a mark too many costs a word of evidence, one too few a password. Time is linear in the length,
 * which the reader bounds: every repetition in a pattern here has an upper limit.
 */

/** Gives the mark for a secret: the same one for the same secret. */
export type Mark = (secret: string) => string;

export function redactArguments(args: readonly string[], mark: Mark): string[] {
  return redactWords(args, mark, 0);
}

function redactWords(words: readonly string[], mark: Mark, depth: number): string[] {
  const state: WordState = { program: undefined, awaits: undefined, seen: new Set() };
  return words.map((word) => redactWord(word, state, mark, depth));
}

interface WordState {
  /** The program to whose options the words belong. */
  program: ProgramOptions | undefined;
  /** The next word is the value of this option. */
  awaits: "secret" | "user_and_secret" | undefined;
  /** Words so far, for programs whose option means a secret after one subcommand only. */
  readonly seen: Set<string>;
}

function redactWord(word: string, state: WordState, mark: Mark, depth: number): string {
  const { awaits } = state;
  state.awaits = undefined;
  if (awaits !== undefined && word !== "" && !looksLikeOption(word) && !isReference(word)) {
    return awaits === "secret" ? markWhole(word, mark) : markAfterUser(word, mark);
  }
  const assignment = redactAssignment(word, mark);
  if (assignment !== undefined) return assignment;
  const own = redactProgramOption(word, state, mark);
  if (own !== undefined) return own;
  if (isSecretFlag(word)) {
    state.awaits = "secret";
    return word;
  }
  noteProgram(word, state);
  const shaped = redactShapes(word, mark);
  return depth < nesting_max && /\s/.test(shaped) ? redactNested(shaped, mark, depth + 1) : shaped;
}

/** A word with blanks in it is often a command line itself: sh -c "…", or the title that a process gave itself. */
function redactNested(text: string, mark: Mark, depth: number): string {
  const pieces = text.match(shellPieces) ?? [];
  const words = redactWords(
    pieces.filter((p) => !/^\s/.test(p)).map((p) => p),
    mark,
    depth,
  );
  let next = 0;
  return pieces.map((piece) => (/^\s/.test(piece) ? piece : (words[next++] ?? ""))).join("");
}

const nesting_max = 2;
/** Blanks, or a word of quoted and bare parts. */
const shellPieces = /\s+|(?:"[^"]*"?|'[^']*'?|[^\s"'])+/g;

/** --password=x, -Dkey.password=x, PASSWORD=x: all after the first "=" is the value. --env=PASSWORD=x holds another one. */
function redactAssignment(word: string, mark: Mark, isInner = false): string | undefined {
  const match = assignmentPattern.exec(word);
  if (!match) return undefined;
  const [, head = "", name = "", value = ""] = match;
  if (value === "" || isReference(value)) return undefined;
  if (!isSecretName(name)) {
    const inner = isInner ? undefined : redactAssignment(value, mark, true);
    return inner === undefined ? undefined : `${head}${name}=${inner}`;
  }
  if (!head.startsWith("-") && isPlainPath(name)) return undefined;
  return `${head}${name}=${markWhole(value, mark)}`;
}

const assignmentPattern = /^(["']?-{0,2})([A-Za-z_][A-Za-z0-9_.:-]{0,127})=([\s\S]{1,8192})$/;

/** PWD=/home/x is the working directory, which every shell exports. */
function isPlainPath(name: string): boolean {
  return name === "PWD" || name === "OLDPWD";
}

/** docker build --secret id=x,src=y names a secret without holding it; so do $VARIABLE alone and *** . */
function isReference(value: string): boolean {
  return (
    /^(?:id|type|source|src)=/.test(value) ||
    /^["']?\$(?:[{(]|[A-Za-z_][A-Za-z0-9_]{0,255}["');]{0,4}$)/.test(value) ||
    /^\*+$/.test(value)
  );
}

function isSecretFlag(word: string): boolean {
  const match = /^["']?-{1,2}([A-Za-z][A-Za-z0-9_.-]{1,127})$/.exec(word);
  return match?.[1] !== undefined && isSecretName(match[1]) && !/^(?:no|without|use|ask|prompt)-/i.test(match[1]);
}

/** By how a name ends: api-key, X_API_KEY and storepass are secrets, password-file, token-ttl and bypass are not. */
export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll("_", "-").replaceAll(".", "-");
  if (plain === "pwd" || plain === "oldpwd") return false;
  return secretName.test(plain);
}

const secretName =
  /(?:password|passwd|passphrase|passcode|secret|token|api-?key|access-?key|secret-?key|auth-?key|account-?key|shared-?key|encryption-?key|signing-?key|credentials?|masterauth|rediscli-auth|^-auth|(?<!by|com|sur|tres|over|under)pass|(?:^|-)pwd|(?:^|-)psk)$/;

function looksLikeOption(word: string): boolean {
  return /^--?[A-Za-z]/.test(word);
}

interface ProgramOptions {
  /** -pSECRET. */
  readonly attached?: readonly string[];
  /** -p SECRET. */
  readonly separate?: readonly string[];
  /** -u USER:SECRET or USER%SECRET. */
  readonly userAndSecret?: readonly string[];
  /** The same where it may be attached, or end a run of short options: (-u, -sku)(USER:SECRET or nothing). */
  readonly userAndSecretRun?: RegExp;
  /** The options mean a secret only where one of these words stands before them. */
  readonly after?: readonly string[];
  /** After one secret, what follows is another program's. */
  readonly once?: boolean;
}

const mysql: ProgramOptions = { attached: ["-p"] };
const mongo: ProgramOptions = { separate: ["-p"], attached: ["-p"] };
const containers: ProgramOptions = { separate: ["-p"], after: ["login"] };
const archives: ProgramOptions = { separate: ["-P"] };
const ldap: ProgramOptions = { separate: ["-w"], attached: ["-w"] };
const curl: ProgramOptions = {
  userAndSecret: ["--user", "--proxy-user", "--cert", "-E"],
  userAndSecretRun: /^(-[fgGiIjJklLnNOpqRsSvZ#0-46]{0,16}[uU])(.{0,8192})$/,
  separate: ["-b", "--cookie", "--oauth2-bearer"],
};
const openssl: ProgramOptions = { separate: ["-passin", "-passout", "-pass", "-k", "-K"] };
const programOptions: Readonly<Record<string, ProgramOptions>> = {
  mysql,
  mysqldump: mysql,
  mysqladmin: mysql,
  mysqlimport: mysql,
  mysqlshow: mysql,
  mysqlcheck: mysql,
  mysqlpump: mysql,
  mariadb: mysql,
  "mariadb-dump": mysql,
  "mariadb-admin": mysql,
  xtrabackup: mysql,
  mariabackup: mysql,
  sshpass: { attached: ["-p"], separate: ["-p"], once: true },
  "redis-cli": { separate: ["-a"], attached: ["-a"] },
  curl,
  smbclient: { userAndSecret: ["-U", "--user"] },
  ldapsearch: ldap,
  ldapmodify: ldap,
  ldapadd: ldap,
  mongo,
  mongosh: mongo,
  mongodump: mongo,
  mongorestore: mongo,
  docker: containers,
  podman: containers,
  helm: containers,
  zip: archives,
  unzip: archives,
  sqlcmd: archives,
  bcp: archives,
  "7z": { attached: ["-p"] },
  openssl,
  useradd: { separate: ["-p"] },
  usermod: { separate: ["-p"] },
  ipmitool: { separate: ["-P"] },
  mosquitto_pub: archives,
  mosquitto_sub: archives,
};

function noteProgram(word: string, state: WordState): void {
  const bare = word.replace(/^["'({]+/, "");
  const name = bare.slice(bare.lastIndexOf("/") + 1);
  if (Object.hasOwn(programOptions, name)) {
    state.program = programOptions[name];
    state.seen.clear();
  } else if (/^(?:\||\|\||&&|;|&)$/.test(word)) {
    state.program = undefined;
  } else if (name.length <= 32) {
    state.seen.add(name);
  }
}

function redactProgramOption(word: string, state: WordState, mark: Mark): string | undefined {
  const { program } = state;
  if (!program || !word.startsWith("-")) return undefined;
  if (program.after && !program.after.some((w) => state.seen.has(w))) return undefined;
  if (program.userAndSecret?.includes(word)) {
    state.awaits = "user_and_secret";
    return word;
  }
  const [, run, attached] = program.userAndSecretRun?.exec(word) ?? [];
  if (run !== undefined && attached !== undefined) {
    if (attached === "") state.awaits = "user_and_secret";
    return run + markAfterUser(attached, mark);
  }
  if (program.separate?.includes(word)) {
    state.awaits = "secret";
    if (program.once) state.program = undefined;
    return word;
  }
  const option = program.attached?.find((o) => word.startsWith(o) && word.length > o.length);
  if (option === undefined || word.startsWith("--")) return undefined;
  if (program.once) state.program = undefined;
  return option + markWhole(word.slice(option.length), mark);
}

/** user:secret, user%secret; a user alone stays. */
function markAfterUser(word: string, mark: Mark): string {
  const at = word.search(/[:%]/);
  return at < 0 || at === word.length - 1 ? word : word.slice(0, at + 1) + markWhole(word.slice(at + 1), mark);
}

/** Quotes around a value in a shell's text are not part of it. */
function markWhole(value: string, mark: Mark): string {
  if (value.includes("[REDACTED:")) return value;
  const quote = value[0];
  const quoted = (quote === '"' || quote === "'") && value.length > 2 && value.endsWith(quote);
  const trailing = /["');]+$/.exec(value)?.[0] ?? "";
  if (quoted) return quote + mark(value.slice(1, -1)) + quote;
  const bare =
    trailing !== "" && trailing.length < value.length && /^["']/.test(trailing) ? value.slice(0, -trailing.length) : value;
  return mark(bare) + value.slice(bare.length);
}

interface Shape {
  readonly pattern: RegExp;
  /** Which group is the secret; what stands around it stays. */
  readonly replace: (groups: readonly string[], mark: Mark) => string;
}

const whole = (pattern: RegExp): Shape => ({ pattern, replace: ([all = ""], mark) => mark(all) });
/** (before)(secret); a nested command line's words come by a second time. */
const after = (pattern: RegExp): Shape => ({
  pattern,
  replace: ([all = "", before = "", secret = ""], mark) => (secret.startsWith("[REDACTED:") ? all : before + mark(secret)),
});
/** (before)(name)(between)(secret): only where the name is a secret's. */
const named = (pattern: RegExp): Shape => ({
  pattern,
  replace: ([all = "", before = "", name = "", between = "", secret = ""], mark) =>
    isSecretName(name) && !isPlainPath(name) && !isReference(secret) && !secret.includes("[REDACTED:")
      ? before + name + between + mark(secret)
      : all,
});

const shapes: readonly Shape[] = [
  // Private keys, to their end or the text's.
  whole(/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]{0,8192}?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g),
  // scheme://user:secret@host; the secret may hold an @ itself.
  after(/(\b[A-Za-z][A-Za-z0-9+.-]{0,20}:\/\/[^\s/:@"']{0,128}:)([^\s/"']{1,256})(?=@)/g),
  // Authorization: Scheme secret, or the secret alone.
  after(
    /(\bauthorization["']?\s{0,4}(?::\s{0,4}["']?(?:[A-Za-z][A-Za-z0-9-]{1,31}\s{1,4})?|=\s{0,4}["']?(?:bearer|basic|token|digest|negotiate)\s{1,4}))([^\s"']{1,4096})/gi,
  ),
  after(/((?:^|["'\s=])(?:set-)?cookie:\s{0,4})([^"'\r\n]{1,4096})/gi),
  after(/(\bbearer\s{1,4})(?!\[REDACTED:)([A-Za-z0-9._~+/=-]{8,4096})/gi),
  // A header or setting whose name ends as a secret's does: X-Api-Key: …; without a blank where it can't be an image's tag
  named(/((?:^|["'\s=]))([A-Za-z][A-Za-z0-9_.-]{1,63})(:\s{1,4})([^\s"',}]{1,1024})/g),
  named(/((?:^|["'\s=]))([A-Za-z][A-Za-z0-9]{0,31}-[A-Za-z0-9-]{1,63})(:)([^\s"',}/]{1,1024})/g),
  // JSON: "password": "…", and within a shell's quotes \"password\": \"…\"
  named(/(["'])([A-Za-z][A-Za-z0-9_.-]{0,63})(["']\s{0,4}:\s{0,4}["'])((?:[^"'\\]|\\[\s\S]){1,4096})/g),
  named(/(\\{1,3}["'])([A-Za-z][A-Za-z0-9_.-]{0,63})(\\{1,3}["']\s{0,4}:\s{0,4}\\{1,3}["'])([^"'\\]{1,4096})/g),
  // Query parameters, connection strings, assignments inside longer text.
  named(/((?:[?&;,:]\s{0,4}))([A-Za-z_][A-Za-z0-9_.-]{0,63})(=)([^\s;&,"']{1,1024})/g),
  // Tokens that are known by how they look.
  whole(/(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{20,255}/g),
  whole(/(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{20,255}/g),
  whole(/(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{16,255}/g),
  whole(/(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])/g),
  whole(/(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,255}/g),
  whole(/(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{4,4096}\.[A-Za-z0-9_-]{0,1024}/g),
  whole(/(?<![A-Za-z0-9_-])(?:sk|rk|pk)[-_](?:live[-_]|test[-_]|proj-|ant-)?[A-Za-z0-9_-]{20,255}/g),
  whole(/(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}/g),
  whole(/(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}/g),
  whole(/(?<![A-Za-z0-9])hvs\.[A-Za-z0-9_-]{20,255}/g),
  whole(/(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,128}/g),
];

function redactShapes(text: string, mark: Mark): string {
  if (text.length < shape_length_min) return text;
  let result = text;
  for (const { pattern, replace } of shapes) {
    pattern.lastIndex = 0;
    result = result.replace(pattern, (...found: unknown[]) => replace(found as string[], mark));
  }
  return result;
}

/** Shorter words hold none of the shapes. */
const shape_length_min = 6;
