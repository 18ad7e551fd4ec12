/**
 * One line at the bottom of a terminal that is redrawn, with lasting lines above it. Where the output is not a terminal, the line is
 * written as a line of its own every plain_wait_ms, and when something lasting was written.
 */
import type { Output } from "../io";

export interface LiveLine {
  /** Changes the line; drawn soon. */
  set(text: string): void;
  /** Writes lasting lines above it. */
  write(...lines: readonly string[]): void;
  /** Takes the line away. */
  close(): void;
}

const draw_wait_ms = 500;
export const plain_wait_ms = 10_000;

export function liveLine(output: Output): LiveLine {
  return output.isTTY ? terminalLine(output) : plainLine(output);
}

const clear = "\r\u001b[2K";

function terminalLine(output: Output): LiveLine {
  let line = "";
  let drawn = "";
  const draw = () => {
    const fitting = line.slice(0, Math.max(0, output.columns() - 1));
    if (fitting === drawn) return;
    output.write(clear + fitting);
    drawn = fitting;
  };
  const timer = setInterval(draw, draw_wait_ms);
  return {
    set(text) {
      const first = line === "";
      line = text;
      if (first) draw();
    },
    write(...lines) {
      output.write(`${drawn === "" ? "" : clear}${lines.join("\n")}\n`);
      drawn = "";
      draw();
    },
    close() {
      clearInterval(timer);
      if (drawn !== "") output.write(clear);
    },
  };
}

function plainLine(output: Output): LiveLine {
  let line = "";
  let written = "";
  const write = () => {
    if (line === "" || line === written) return;
    written = line;
    output.write(`${line}\n`);
  };
  const timer = setInterval(write, plain_wait_ms);
  return {
    set(text) {
      line = text;
    },
    write(...lines) {
      output.write(`${lines.join("\n")}\n`);
    },
    close() {
      clearInterval(timer);
      write();
    },
  };
}
