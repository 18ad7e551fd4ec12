/** What is wrong with a record that is well formed. */
export interface Problem {
  readonly reason: "invalid_body" | "out_of_bounds";
  /** What, the value, the limit, what sets it. */
  readonly detail: string;
}

export function invalid(detail: string): Problem {
  return { reason: "invalid_body", detail };
}

export function outOfBounds(detail: string): Problem {
  return { reason: "out_of_bounds", detail };
}

/** An agent's text in a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > quoted_length_max ? `${text.slice(0, quoted_length_max)}…` : text);
}

const quoted_length_max = 128;
