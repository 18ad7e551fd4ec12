/** Which file an interpreter runs: the first argument that isn't an option. */

/** Undefined where the program is no interpreter, or gets its code some other way (-c, -m, standard input). */
export function scriptPath(image: string, args: readonly string[]): string | undefined {
  const name = image.slice(image.lastIndexOf("/") + 1);
  const interpreter = interpreters.find(({ pattern }) => pattern.test(name));
  if (!interpreter) return undefined;
  for (let i = 1; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (interpreter.code.some((option) => arg === option || (option.length === 2 && clustered(arg, option)))) return undefined;
    if (interpreter.withValue.includes(arg)) i++;
    else if (arg === "--") return args[i + 1];
    else if (!arg.startsWith("-") && !arg.startsWith("+")) return arg === "" ? undefined : arg;
  }
  return undefined;
}

/** bash -lc "…" */
function clustered(arg: string, option: string): boolean {
  return /^-[a-zA-Z]+$/.test(arg) && arg.endsWith(option[1] ?? "");
}

interface Interpreter {
  readonly pattern: RegExp;
  /** Options after which code comes from elsewhere. */
  readonly code: readonly string[];
  readonly withValue: readonly string[];
}

const interpreters: readonly Interpreter[] = [
  { pattern: /^python\d?(?:\.\d+)?$/, code: ["-c", "-m"], withValue: ["-W", "-X"] },
  { pattern: /^(?:bash|dash|sh|zsh|ksh|ash|busybox)$/, code: ["-c", "-s"], withValue: ["-o", "+o", "--rcfile", "--init-file"] },
  { pattern: /^perl(?:\d[\d.]*)?$/, code: ["-e", "-E"], withValue: ["-I"] },
  { pattern: /^ruby(?:\d[\d.]*)?$/, code: ["-e"], withValue: ["-I", "-r"] },
  { pattern: /^(?:node|nodejs)$/, code: ["-e", "-p", "--eval", "--print"], withValue: ["-r", "--require", "--import"] },
  { pattern: /^php(?:\d[\d.]*)?$/, code: ["-r"], withValue: ["-c", "-d"] },
  { pattern: /^(?:lua|luajit|tclsh)(?:\d[\d.]*)?$/, code: ["-e"], withValue: ["-l"] },
];
