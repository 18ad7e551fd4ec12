/** What reading something of the host may come to. Gone and denied are expected, so they are values. */
export type Read<T> =
  | { readonly kind: "read"; readonly value: T }
  /** Ended, or never was there. */
  | { readonly kind: "gone" }
  /** There, and not for this user's eyes. */
  | { readonly kind: "denied" };

export function attempt<T>(read: () => T): Read<T> {
  try {
    return { kind: "read", value: read() };
  } catch (error) {
    return failure(error);
  }
}

/** Rethrows what is neither absence nor a lack of permission: a full file table is no reason to think that a process has ended. */
export function failure(error: unknown): { readonly kind: "gone" } | { readonly kind: "denied" } {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (goneCodes.has(code)) return { kind: "gone" };
  if (deniedCodes.has(code)) return { kind: "denied" };
  throw error;
}

const goneCodes = new Set(["ENOENT", "ESRCH", "ENOTDIR", "EINVAL", "ENODEV", "ELOOP"]);
const deniedCodes = new Set(["EACCES", "EPERM", "EIO"]);
