/** Something that the API stands on can't serve now. The message is for callers; the cause, which may hold addresses, is for the log. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}
