/** `assay reference`: the pages of docs/reference that are drawn from the code. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { settingsReference } from "@assay/runtime/settings-reference";
import { settingsGroups } from "../embedded/settings-groups";
import { exitCodes, type Io, UserError } from "../io";

export async function reference(directory: string, io: Io): Promise<number> {
  const file = join(directory, "settings.md");
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, settingsReference(settingsGroups));
  } catch (error) {
    throw new UserError(`can't write ${file}: ${(error as Error).message}`);
  }
  io.stderr.write(`wrote ${file}\n`);
  return exitCodes.ok;
}
