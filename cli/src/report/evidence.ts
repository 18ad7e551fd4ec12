/** Evidence of a finding in a few lines: the process, its user and command line where there is one, else what was read. */

type Fields = Readonly<Record<string, unknown>>;

const lines_max = 6;
const value_length_max = 240;

/** rule_fields: what the rule reads; of evidence without a form of its own these are shown. */
export function evidenceLines(evidence: unknown, rule_fields: readonly string[] = []): string[] {
  if (typeof evidence !== "object" || evidence === null) return [];
  const fields = evidence as Fields;
  const lines = kinds[text(fields.kind)]?.(fields) ?? plain(fields, rule_fields);
  return lines.filter((line) => line !== "").slice(0, lines_max);
}

const kinds: Readonly<Record<string, ((fields: Fields) => string[]) | undefined>> = {
  process: (f) => [
    process(f),
    text(f.parent_command_line) &&
      `started by ${text(f.parent_command_line)}${text(f.parent_user) && ` (user ${text(f.parent_user)})`}`,
  ],
  listener: (f) => [
    `${text(f.protocol)} ${address(f.address, f.port)}${text(f.application_protocol) && `, speaks ${text(f.application_protocol)}`}`,
    process(f),
  ],
  connection: (f) => [
    `${text(f.protocol)} ${text(f.source_address)} → ${address(f.destination_address, f.destination_port)}`,
    process(f),
  ],
  flow: (f) => [
    `${text(f.protocol)} ${endpoint(f.source)} → ${endpoint(f.destination, f.destination_port)}${text(f.application_protocol) && `, speaks ${text(f.application_protocol)}`}`,
    labelled("from", process((f.source ?? {}) as Fields)),
    labelled("to", process((f.destination ?? {}) as Fields)),
  ],
};

function labelled(label: string, line: string): string {
  return line === "" ? "" : `${label} ${line}`;
}

function process(f: Fields): string {
  const command = text(f.command_line) || text(f.image);
  if (command === "") return "";
  const facts = [text(f.user) && `user ${text(f.user)}`, Number(f.pid) > 0 ? `pid ${text(f.pid)}` : "", text(f.image)].filter(
    (x) => x !== "",
  );
  return `${command} (${facts.join(", ")})`;
}

function address(host: unknown, port: unknown): string {
  const name = text(host);
  return `${name.includes(":") ? `[${name}]` : name}:${text(port)}`;
}

/** Anything else: plain values, one per line; what is nested, as JSON. */
function plain(fields: Fields, rule_fields: readonly string[]): string[] {
  const all = Object.entries(fields).filter(([key, value]) => key !== "kind" && key !== "section" && text(value) !== "");
  const read = all.filter(([key]) => rule_fields.includes(key));
  const where = read.length > 0 || !fields.section ? [] : [`section: ${text(fields.section)}`];
  return [...where, ...(read.length > 0 ? read : all).map(([key, value]) => `${key}: ${text(value)}`)];
}

function endpoint(end: unknown, port?: unknown): string {
  const f = (end ?? {}) as Fields;
  const where = port === undefined ? text(f.address) : address(f.address, port);
  const host = text(f.host_name);
  return host === "" ? where : `${host} (${where})`;
}

function text(value: unknown): string {
  if (value === undefined || value === null) return "";
  const whole = typeof value === "object" ? JSON.stringify(value) : String(value);
  return whole.length > value_length_max ? `${whole.slice(0, value_length_max)}…` : whole;
}
