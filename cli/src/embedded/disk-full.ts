/** A full disk, told apart from every other failure: it passes when somebody makes room, so whoever ended because of it is started again without limit. */
import { statfsSync } from "node:fs";
import { DiskFullError, isOutOfRoom } from "@assay/store/disk-full";
import { StoreFullError } from "@assay/store/retry";
import { LogFullError } from "@assay/stream/log";

/** Whether the error, or one that it came of, is for want of room on the disk. The log's own limit (ASSAY_LOG_MAX_BYTES) is another thing. */
export function isDiskFull(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < causes_max; cause = cause.cause, depth++) {
    if (cause instanceof DiskFullError || cause instanceof StoreFullError || isOutOfRoom(cause)) return true;
    // The log names what its file system said as the cause; past its own limit there is none.
    if (cause instanceof LogFullError && cause.cause !== undefined) return true;
  }
  return false;
}

/** Whether there is no room now for an ordinary user: for a process that ended and had no way to say why. */
export function hasNoRoom(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize < nearly_full_bytes;
  } catch {
    return false; // the directory is gone: that is another trouble
  }
}

const causes_max = 8;
const nearly_full_bytes = 1_048_576;
