/**
 * Sigma's conditions: names of detections joined by or, and, not (from the loosest to the closest), parentheses, and `1 of` or `all
 * of` a pattern of names or `them`. Compiled while it is read.
 */
import { both, either, negated, type Test } from "./test";

/** A condition that can't be read. */
export class ConditionError extends Error {}

export const condition_chars_max = 8_192;
const nesting_max = 64;

export interface CompiledCondition {
  readonly test: Test;
  /** Names of the detections that it asks for. */
  readonly uses: ReadonlySet<string>;
}

export function compileCondition(condition: string, detections: ReadonlyMap<string, Test>): CompiledCondition {
  if (condition.length > condition_chars_max) {
    throw new ConditionError(`a condition of ${condition.length} characters is longer than the limit of ${condition_chars_max}`);
  }
  const parser = new Parser(tokensOf(condition), detections);
  return { test: parser.whole(), uses: parser.uses };
}

function tokensOf(condition: string): readonly string[] {
  const tokens: readonly string[] = condition.match(/[()|]|[^\s()|]+/g) ?? [];
  if (tokens.includes("|")) {
    throw new ConditionError(
      "aggregation in a condition ('| count() …', '| near …') left Sigma with version 2; it is a correlation rule now, which is not supported yet",
    );
  }
  if (tokens.length === 0) throw new ConditionError("the condition is empty; name the detections that must match");
  return tokens;
}

class Parser {
  readonly uses = new Set<string>();
  private at = 0;
  private depth = 0;

  constructor(
    private readonly tokens: readonly string[],
    private readonly detections: ReadonlyMap<string, Test>,
  ) {}

  whole(): Test {
    const test = this.or();
    const rest = this.tokens[this.at];
    if (rest !== undefined) {
      throw new ConditionError(rest === ")" ? "')' closes no parenthesis" : `'and' or 'or' must stand before '${rest}'`);
    }
    return test;
  }

  private or(): Test {
    const tests = [this.and()];
    while (this.take("or")) tests.push(this.and());
    return either(tests);
  }

  private and(): Test {
    const tests = [this.not()];
    while (this.take("and")) tests.push(this.not());
    return both(tests);
  }

  private not(): Test {
    if (++this.depth > nesting_max) throw new ConditionError(`the condition is nested deeper than the limit of ${nesting_max}`);
    const test = this.take("not") ? negated(this.not()) : this.primary();
    this.depth--;
    return test;
  }

  private primary(): Test {
    const token = this.next();
    if (token === "(") {
      const test = this.or();
      if (this.tokens[this.at++] !== ")") throw new ConditionError("a parenthesis is not closed; add ')'");
      return test;
    }
    if (this.tokens[this.at]?.toLowerCase() === "of") return this.quantified(token);
    return this.named(token);
  }

  private quantified(quantifier: string): Test {
    this.at++;
    const pattern = this.next();
    const join = { "1": either, any: either, all: both }[quantifier.toLowerCase()];
    if (!join) throw new ConditionError(`'${quantifier} of' is not supported; write '1 of' or 'all of'`);
    const tests = this.selected(pattern);
    if (tests.length === 0) {
      throw new ConditionError(`no detection fits '${pattern}'; there are ${[...this.detections.keys()].join(", ")}`);
    }
    return join(tests);
  }

  /** Names that begin with an underscore are left out, unless the pattern begins with one too. */
  private selected(pattern: string): Test[] {
    const them = pattern.toLowerCase() === "them";
    const names = new RegExp(`^${pattern.split(/\*+/).map(escaped).join(".*")}$`, "s");
    return [...this.detections].flatMap(([name, test]) => {
      const hidden = name.startsWith("_") && !pattern.startsWith("_");
      if (hidden || !(them || names.test(name))) return [];
      this.uses.add(name);
      return [test];
    });
  }

  private named(name: string): Test {
    const test = this.detections.get(name);
    if (!test) {
      throw new ConditionError(`the condition names '${name}', and there are ${[...this.detections.keys()].join(", ")}`);
    }
    this.uses.add(name);
    return test;
  }

  private next(): string {
    const token = this.tokens[this.at++];
    if (token === undefined) throw new ConditionError("the condition ends where the name of a detection must follow");
    if (token === ")" || /^(?:and|or|of)$/i.test(token)) {
      throw new ConditionError(`the name of a detection must stand before '${token}'`);
    }
    return token;
  }

  private take(word: string): boolean {
    if (this.tokens[this.at]?.toLowerCase() !== word) return false;
    this.at++;
    return true;
  }
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
