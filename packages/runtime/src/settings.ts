/**
 * Settings of a process: declared once, read from the environment into a frozen, typed object, all problems told at once.
 * A room declares its own with `defineSettings`; a process reads them with `readSettings`; the reference page is drawn from
 * the same declarations (settings-reference.ts).
 *
 * A variable that is set to the empty text counts as not set. Paths are made absolute from the working directory. A secret may stand
 * in a file instead, which <variable>_FILE names (secret-file.ts).
 */
import { resolve } from "node:path";
import { readSecretFile, secretFileVariable } from "./secret-file";

/** One setting. T is undefined-able only where it is optional. */
export interface Setting<T> {
  /** ASSAY_<NAME>. */
  readonly variable: string;
  readonly doc: string;
  /** What a value looks like, for messages and the reference: "integer, 1 to 65535". */
  readonly form: string;
  readonly fallback: { readonly given: true; readonly value: T; readonly shown: string } | { readonly given: false };
  /** Never printed, not even in a problem. */
  readonly secret: boolean;
  /** A problem reads on after the variable's name: "is 70000, above the limit of 65535". */
  parse(text: string): { readonly value: T } | { readonly problem: string };
}

export type Definitions = Readonly<Record<string, Setting<unknown>>>;
export type SettingsOf<D extends Definitions> = {
  readonly [K in keyof D]: D[K] extends Setting<infer T> ? T : never;
};

/** What must hold between values. Judged only where all of them could be read. */
export interface Relation<D extends Definitions> {
  readonly between: readonly (keyof D)[];
  /** Says what, the values, and the settings that change them; undefined where all is well. */
  problem(settings: SettingsOf<D>): string | undefined;
}

export type ReadSettings<D extends Definitions> =
  | { readonly ok: true; readonly settings: SettingsOf<D> }
  | { readonly ok: false; readonly problems: readonly string[] };

export type Environment = Readonly<Record<string, string | undefined>>;

/** Only gives the declarations their exact type. */
export function defineSettings<const D extends Definitions>(definitions: D): D {
  return definitions;
}

export function readSettings<D extends Definitions>(
  definitions: D,
  env: Environment,
  relations: readonly Relation<D>[] = [],
): ReadSettings<D> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, setting] of Object.entries(definitions)) {
    const read = setting.secret ? readSecret(setting, env) : readSetting(setting, env[setting.variable]);
    if ("problem" in read) problems.push(`${setting.variable} ${read.problem}`);
    else values[name] = read.value;
  }
  const settings = Object.freeze(values) as SettingsOf<D>;
  for (const relation of relations) {
    if (!relation.between.every((name) => name in settings)) continue;
    const problem = relation.problem(settings);
    if (problem !== undefined) problems.push(problem);
  }
  return problems.length === 0 ? { ok: true, settings } : { ok: false, problems };
}

function readSetting(setting: Setting<unknown>, text: string | undefined): { value: unknown } | { problem: string } {
  if (text !== undefined && text !== "") return setting.parse(text);
  if (setting.fallback.given) return { value: setting.fallback.value };
  return { problem: `is not set, and has no default (${setting.form})` };
}

function readSecret(setting: Setting<unknown>, env: Environment): { value: unknown } | { problem: string } {
  const file_variable = secretFileVariable(setting.variable);
  const file = env[file_variable];
  const given = env[setting.variable];
  if (file === undefined || file === "") return readSetting(setting, given);
  if (given !== undefined && given !== "") return { problem: `and ${file_variable} are both set; one of them says it` };
  const content = readSecretFile(file);
  if ("problem" in content) return { problem: `can't be read: ${file_variable} is ${quoted(file)}, ${content.problem}` };
  return setting.parse(content.value);
}

/** Declares what every kind of setting may say: default, or optional, or neither: then it must be set. */
interface Common<T> {
  readonly doc: string;
  readonly default?: T;
}

interface Range {
  readonly min: number;
  readonly max: number;
}

/** A whole number; unit is shown in messages: "bytes". */
export function integer(variable: string, options: Common<number> & Range & { readonly unit?: string }): Setting<number> {
  const unit = options.unit === undefined ? "" : ` ${options.unit}`;
  return {
    ...described(variable, options, String, `integer, ${options.min} to ${options.max}${unit}`),
    parse(text) {
      if (!/^-?\d{1,15}$/.test(text)) return { problem: `is ${quoted(text)}, not a whole number` };
      const value = Number(text);
      if (value < options.min) return { problem: `is ${value}${unit}, below the limit of ${options.min}${unit}` };
      if (value > options.max) return { problem: `is ${value}${unit}, above the limit of ${options.max}${unit}` };
      return { value };
    },
  };
}

/** Whole milliseconds; the variable's name ends in _MS. */
export function duration_ms(variable: string, options: Common<number> & Range): Setting<number> {
  return integer(variable, { ...options, unit: "ms" });
}

/** An absolute URL, kept as text without a slash at its end. */
export function url(variable: string, options: Common<string> & { readonly protocols: readonly string[] }): Setting<string> {
  return {
    ...described(variable, options, String, urlForm(options.protocols)),
    parse: (text) => parseUrl(text, options.protocols),
  };
}

/** As `url`, undefined where it isn't set. */
export function optionalUrl(
  variable: string,
  options: { readonly doc: string; readonly protocols: readonly string[] },
): Setting<string | undefined> {
  return { ...optional(variable, options.doc, urlForm(options.protocols)), parse: (text) => parseUrl(text, options.protocols) };
}

/** A file or folder, made absolute. */
export function path(variable: string, options: Common<string>): Setting<string> {
  const setting = described(variable, options, String, "path");
  const { fallback } = setting;
  return {
    ...setting,
    // Shown as it is declared, so that the reference page is the same everywhere.
    fallback: fallback.given ? { ...fallback, value: resolve(fallback.value) } : fallback,
    parse: (text) => ({ value: resolve(text) }),
  };
}

/** As `path`, undefined where it isn't set. */
export function optionalPath(variable: string, options: { readonly doc: string }): Setting<string | undefined> {
  return { ...optional(variable, options.doc, "path"), parse: (text) => ({ value: resolve(text) }) };
}

export function text(
  variable: string,
  options: Common<string> & { readonly length_max?: number; readonly pattern?: RegExp; readonly form?: string },
): Setting<string> {
  const length_max = options.length_max ?? text_length_max;
  return {
    ...described(variable, options, String, options.form ?? `text, at most ${length_max} characters`),
    parse: (given) => parseText(given, length_max, options.pattern, options.form),
  };
}

/** A password, token or key. Neither problems nor the reference ever show it. Optional. */
export function secret(
  variable: string,
  options: { readonly doc: string; readonly length_min?: number },
): Setting<string | undefined> {
  return { ...optional(variable, options.doc, secretForm(options.length_min ?? 1)), ...secretParse(options.length_min ?? 1) };
}

export function flag(variable: string, options: Common<boolean>): Setting<boolean> {
  return {
    ...described(variable, options, String, "true or false"),
    parse(given) {
      if (given === "true" || given === "1") return { value: true };
      if (given === "false" || given === "0") return { value: false };
      return { problem: `is ${quoted(given)}, neither true nor false` };
    },
  };
}

export function oneOf<const V extends string>(
  variable: string,
  options: Common<NoInfer<V>> & { readonly values: readonly V[] },
): Setting<V> {
  return {
    ...described(variable, options, String, `one of ${options.values.join(", ")}`),
    parse(given) {
      const value = options.values.find((v) => v === given);
      return value === undefined ? { problem: `is ${quoted(given)}, not one of ${options.values.join(", ")}` } : { value };
    },
  };
}

const text_length_max = 4096;
const shown_length_max = 80;

type Described<T> = Omit<Setting<T>, "parse">;

function described<T>(variable: string, options: Common<T>, show: (value: T) => string, form: string): Described<T> {
  const value = options.default;
  return {
    variable,
    doc: options.doc,
    form,
    fallback: value === undefined ? { given: false } : { given: true, value, shown: show(value) },
    secret: false,
  };
}

function optional(variable: string, doc: string, form: string): Described<undefined> {
  return { variable, doc, form, fallback: { given: true, value: undefined, shown: "" }, secret: false };
}

function urlForm(protocols: readonly string[]): string {
  return `URL (${protocols.map((p) => `${p}//…`).join(" or ")})`;
}

function parseUrl(given: string, protocols: readonly string[]): { value: string } | { problem: string } {
  const parsed = URL.canParse(given) ? new URL(given) : undefined;
  if (!parsed) return { problem: `is ${quoted(withoutUserInfo(given))}, not a URL` };
  if (parsed.username !== "" || parsed.password !== "")
    return { problem: "holds a user or a password, and a URL is shown where it is used" };
  if (protocols.includes(parsed.protocol)) return { value: given.replace(/\/+$/, "") };
  return { problem: `has the protocol ${parsed.protocol}, not ${protocols.join(" or ")}` };
}

function parseText(
  given: string,
  length_max: number,
  pattern: RegExp | undefined,
  form: string | undefined,
): { value: string } | { problem: string } {
  if (given.length > length_max) return { problem: `has ${given.length} characters, above the limit of ${length_max}` };
  if (pattern && !pattern.test(given)) return { problem: `is ${quoted(given)}, not ${form ?? `of the form ${pattern.source}`}` };
  return { value: given };
}

function secretForm(length_min: number): string {
  return length_min > 1 ? `secret, at least ${length_min} characters` : "secret";
}

function secretParse(length_min: number): Pick<Setting<string>, "secret" | "parse"> {
  return {
    secret: true,
    parse: (given) =>
      given.length < length_min
        ? { problem: `has ${given.length} characters, below the limit of ${length_min}` }
        : { value: given },
  };
}

/** A URL that can't be parsed may still hold a password. */
function withoutUserInfo(given: string): string {
  return given.replace(/\/\/[^@/]*@/, "//…@");
}

function quoted(given: string): string {
  return JSON.stringify(given.length > shown_length_max ? `${given.slice(0, shown_length_max)}…` : given);
}
