/** Evidence of a finding in a few lines: the process, its user and command line where there is one, else what was read. */

type Fields = Readonly<Record<string, unknown>>;

const lines_max = 6;
const value_length_max = 240;

export function evidenceLines(evidence: unknown): string[] {
  if (typeof evidence !== "object" || evidence === null) return [];
  const fields = evidence as Fields;
  const lines = typeof fields.kind === "string" && fields.kind in kinds ? (kinds[fields.kind]?.(fields) ?? []) : plain(fields);
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
};

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

/** Anything else: its plain values, one per line; what is nested, as JSON. */
function plain(fields: Fields): string[] {
  return Object.entries(fields)
    .filter(([key, value]) => key !== "kind" && value !== "" && value !== null && value !== undefined)
    .map(([key, value]) => `${key}: ${text(value)}`);
}

function text(value: unknown): string {
  if (value === undefined || value === null) return "";
  const whole = typeof value === "object" ? JSON.stringify(value) : String(value);
  return whole.length > value_length_max ? `${whole.slice(0, value_length_max)}…` : whole;
}
