/**
 * The length of windows is a property of the data, not of a start: open windows, the parts in the store and an audit hang on it. So the
 * first start writes it down, and a later one with another length is refused.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { UserError } from "../io";

export interface Windows {
  readonly window_ms: number;
  readonly lateness_ms: number;
}

/** Throws UserError where the data have windows of another length. The lateness may change. */
export function keepWindows(file: string, windows: Windows): void {
  const kept = readWindows(file);
  if (kept && kept.window_ms !== windows.window_ms) {
    throw new UserError(
      `the data have windows of ${kept.window_ms} ms, and ${windows.window_ms} ms are asked for: set ASSAY_WINDOW_MS=${kept.window_ms}, or begin with other data (--data, ASSAY_DATA_DIR)`,
    );
  }
  if (kept?.lateness_ms === windows.lateness_ms) return;
  rmSync(`${file}.new`, { force: true }); // left behind by a start that was killed
  writeFileSync(`${file}.new`, `${JSON.stringify(windows)}\n`, { mode: 0o600, flag: "wx" });
  renameSync(`${file}.new`, file);
}

export function readWindows(file: string): Windows | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const { window_ms, lateness_ms } = JSON.parse(text) as Partial<Windows>;
  if (typeof window_ms === "number" && typeof lateness_ms === "number") return { window_ms, lateness_ms };
  throw new UserError(`${file} doesn't hold window_ms and lateness_ms: was it edited?`);
}
