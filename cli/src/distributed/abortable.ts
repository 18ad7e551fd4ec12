/** A promise that stops being waited for when a signal is aborted; what it brings later is given to `late`, which closes it. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal, late: (value: T) => Promise<void>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
      // Nobody is left to be told that it failed, or that it could not be closed.
      work.then(late).catch(() => undefined);
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
