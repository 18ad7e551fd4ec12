/** On the embedded log of a data directory at rest. */
import { join } from "node:path";
import { createLogger } from "@assay/runtime/logger";
import { openOwnLog } from "../distributed/open-log";
import { type LettersAnswer, type LettersRequest, perform } from "./perform";

export interface LettersOrder {
  /** The data directory's services/. */
  readonly directory: string;
  readonly request: LettersRequest;
}

export async function performInDirectory({ directory, request }: LettersOrder): Promise<LettersAnswer> {
  const logger = createLogger({ service: "dead-letters", level: "error" });
  const opened = await openOwnLog({ kind: "embedded", directory: join(directory, "log") }, "assay-dead-letters", logger);
  try {
    return await perform(request, opened, Date.now());
  } finally {
    await opened.close();
  }
}
