/** On the embedded log of a data directory at rest. */
import { join } from "node:path";
import { createLogger } from "@assay/runtime/logger";
import { Codec, folderIds } from "@assay/schemas/codec";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import { type LettersAnswer, type LettersRequest, perform } from "./perform";

export interface LettersOrder {
  /** The data directory's services/. */
  readonly directory: string;
  readonly request: LettersRequest;
}

export async function performInDirectory({ directory, request }: LettersOrder): Promise<LettersAnswer> {
  const logger = createLogger({ service: "dead-letters", level: "error" });
  const log = await openEmbeddedLog({ directory: join(directory, "log"), logger });
  try {
    return await perform(request, log, new Codec(folderIds()), Date.now());
  } finally {
    await log.close();
  }
}
