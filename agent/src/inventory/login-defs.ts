/** /etc/login.defs. */
import { parseLoginDefs } from "../parse/settings-files";
import { readText } from "../read/files";
import { type Collected, collected, type Place } from "./section";

export function collectLoginDefs({ root }: Place): Collected<"login-defs"> {
  const path = "/etc/login.defs";
  const text = readText(root + path);
  if (text.kind !== "read") {
    const status = text.kind === "gone" ? "absent" : "unreadable";
    return { status, reason: `${path} is ${text.kind}`, content: { settings: {}, sources: {} } };
  }
  const settings: Record<string, string> = { ...defaults };
  const sources: Record<string, string> = Object.fromEntries(Object.keys(defaults).map((name) => [name, "default"]));
  // Of several lines the last one counts.
  for (const { name, value, line } of parseLoginDefs(text.value)) {
    settings[name] = value;
    sources[name] = `${path}:${line}`;
  }
  return collected<"login-defs">({ settings, sources });
}

/** Of login.defs(5): -1 means that nothing is restricted. */
const defaults = { PASS_MAX_DAYS: "-1", PASS_MIN_DAYS: "-1", PASS_WARN_AGE: "-1" };
