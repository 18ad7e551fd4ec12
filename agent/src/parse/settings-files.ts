/** Simple files of settings: login.defs(5), pwquality.conf(5), PAM's password lines: see pam.conf(5). */

export interface Assigned {
  readonly name: string;
  readonly value: string;
  /** From 1. */
  readonly line: number;
}

/** "PASS_MAX_DAYS 99999": a name, blanks, the value. */
export function parseLoginDefs(text: string): Assigned[] {
  return assignments(text, /^([A-Z][A-Z0-9_]*)\s+(.*)$/);
}

/** "minlen = 12"; words alone are switches that are on. */
export function parsePwquality(text: string): Assigned[] {
  return assignments(text, /^([a-z_]+)\s*(?:=\s*(.*))?$/);
}

function assignments(text: string, pattern: RegExp): Assigned[] {
  return text.split("\n").flatMap((raw, index) => {
    const match = pattern.exec(raw.replace(/(?:^|\s)#.*$/, "").trim());
    return match?.[1] === undefined
      ? []
      : [{ name: match[1], value: (match[2] ?? "").trim().replace(/^"(.*)"$/, "$1"), line: index + 1 }];
  });
}

export type PamLine =
  | { readonly kind: "module"; readonly module: string; readonly args: readonly string[]; readonly line: number }
  | { readonly kind: "include"; readonly file: string; readonly line: number };

/** The lines of type password; a control in brackets may hold blanks. */
export function parsePamPassword(text: string): PamLine[] {
  return text.split("\n").flatMap((raw, index): PamLine[] => {
    const line = raw.replace(/#.*$/, "").trim();
    const include = /^@include\s+(\S+)/.exec(line) ?? /^-?password\s+(?:include|substack)\s+(\S+)/.exec(line);
    if (include?.[1] !== undefined) return [{ kind: "include", file: include[1], line: index + 1 }];
    const module = /^-?password\s+(?:\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (module?.[1] === undefined) return [];
    const name = module[1].slice(module[1].lastIndexOf("/") + 1).replace(/\.so$/, "");
    return [{ kind: "module", module: name, args: (module[2] ?? "").split(/\s+/).filter((a) => a !== ""), line: index + 1 }];
  });
}
