/** Turns ClickHouse's JSONCompact into rows as objects, with times as milliseconds. */

export interface Result {
  readonly meta: readonly { readonly name: string; readonly type: string }[];
  readonly data: readonly (readonly unknown[])[];
}

export function convertRows({ meta, data }: Result): Record<string, unknown>[] {
  const columns = meta.map(({ name, type }) => ({ name, convert: converter(name, type) }));
  return data.map((values) => {
    const row: Record<string, unknown> = {};
    for (let i = 0; i < columns.length; i += 1) {
      const column = columns[i];
      if (column === undefined) continue;
      const value = values[i];
      row[column.name] = column.convert === undefined || value === null ? value : column.convert(value);
    }
    return row;
  });
}

type Convert = (value: unknown) => unknown;

function converter(name: string, type: string): Convert | undefined {
  const inner = unwrap(type);
  if (/^DateTime(64)?\b/.test(inner)) return milliseconds;
  if (/^U?Int64$/.test(inner)) return (value) => safeInteger(name, value);
  return undefined;
}

function unwrap(type: string): string {
  const match = /^(?:Nullable|LowCardinality)\((.*)\)$/.exec(type);
  return match?.[1] === undefined ? type : unwrap(match[1]);
}

/** With date_time_output_format unix_timestamp they come as seconds, with a fraction for DateTime64. */
function milliseconds(value: unknown): number {
  return Math.round(Number(value) * 1000);
}

function safeInteger(name: string, value: unknown): unknown {
  if (Number.isSafeInteger(value)) return value;
  throw new Error(`column ${name} holds ${String(value)}, beyond ±2^53: select toString(${name})`);
}
