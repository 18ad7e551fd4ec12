/** Problems of settings, all at once. */
import { UserError } from "./io";

export function settingsError(problems: readonly string[]): UserError {
  const many = problems.length === 1 ? "a setting is" : `${problems.length} settings are`;
  return new UserError(`${many} wrong:\n  ${problems.join("\n  ")}`);
}
