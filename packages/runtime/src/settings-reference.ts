/** docs/reference/settings.md, drawn from the declarations, so that it can't say anything else than the code does. */
import type { Definitions } from "./settings";

export interface SettingsGroup {
  readonly title: string;
  readonly doc?: string;
  readonly definitions: Definitions;
}

export function settingsReference(groups: readonly SettingsGroup[]): string {
  return ["# Settings", "", intro, ...groups.flatMap(section)].join("\n").concat("\n");
}

const intro =
  "Every setting is an environment variable. A process reports all problems with its settings at once, before it connects anywhere.\n" +
  "A secret may stand in a file instead: `<VARIABLE>_FILE` names it, as in `ASSAY_CLICKHOUSE_PASSWORD_FILE=/run/secrets/clickhouse-password`.\n" +
  "This page is generated from the code by `npm run generate`.";

function section(group: SettingsGroup): string[] {
  const rows = Object.values(group.definitions)
    .toSorted((a, b) => (a.variable < b.variable ? -1 : 1))
    .map((setting) => {
      const fallback = setting.fallback.given
        ? setting.fallback.shown === ""
          ? "none"
          : `\`${cell(setting.fallback.shown)}\``
        : "must be set";
      return `| \`${setting.variable}\` | ${cell(setting.form)} | ${fallback} | ${cell(setting.doc)} |`;
    });
  return [
    "",
    `## ${group.title}`,
    "",
    ...(group.doc === undefined ? [] : [group.doc, ""]),
    "| variable | value | default | what it is |",
    "|---|---|---|---|",
    ...rows,
  ];
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}
