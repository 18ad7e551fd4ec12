/** Plain columns: text to the left, numbers to the right, two spaces between. */

export function renderTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === "number" ? formatCount(cell) : cell)));
  const widths = header.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const numeric = header.map((_, i) => rows.every((row) => typeof row[i] === "number"));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  return [line(header), line(widths.map((width) => "─".repeat(width))), ...cells.map(line)].join("\n");
}

/** 1234567 → 1,234,567: the same in every locale. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Words broken at spaces to fit a width, each line behind the indent. */
export function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((w) => w !== "")) {
    if (line !== "" && indent.length + line.length + 1 + word.length > width) {
      lines.push(indent + line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  if (line !== "") lines.push(indent + line);
  return lines;
}

/** Paragraphs wrapped, indented lines (what is to be typed) as they are. */
export function wrapText(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let paragraph: string[] = [];
  const end = () => {
    lines.push(...wrap(paragraph.join(" "), width, indent));
    paragraph = [];
  };
  for (const line of text.trimEnd().split("\n")) {
    if (/^\s+\S/.test(line)) {
      end();
      lines.push(indent + line.trimEnd());
    } else if (line.trim() === "") end();
    else paragraph.push(line);
  }
  end();
  return lines;
}
