/** Rejects, as what may do better later, when the work isn't done in time. The work itself goes on. */
import { transient } from "./errors";

export async function withinTime<T>(work: Promise<T>, wait_ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(transient(`no answer within ${wait_ms} ms`)), wait_ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
