/**
 * Whose the files of a data directory are. Who starts Assay, root above all, must not work with what somebody else could have put there:
 * a directory that another user owns or may write to, a key that others know, a link that leads elsewhere.
 *
 * What is checked is what was opened, by its descriptor, so that it can't be changed for something else between the check and the use.
 * The directories above the data directory are not looked at: who owns one of those can put another in its place.
 */
import { closeSync, constants, fchmodSync, fstatSync, lstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { UserError } from "../io";
import { accountTitle } from "./accounts";

export interface DirectoryRule {
  readonly owners: readonly number[];
  /** Set once it has passed. */
  readonly mode?: number;
  /** That names one of the owners. */
  readonly setting?: string;
}

/** Throws UserError where the directory, or the link that leads to it, is not of one of these users, or others may write to it. Throws where there is none. */
export function checkDirectory(path: string, { owners, mode, setting }: DirectoryRule): void {
  const named = lstatSync(path);
  checkOwner(path, named, owners, setting);
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK);
  try {
    const opened = fstatSync(fd);
    checkOwner(path, opened, owners, setting);
    checkWriters(path, opened);
    if (mode !== undefined) fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}

/** Throws UserError where there is such a file and it is a link, is no regular file, or is another user's or writable by others. */
export function checkFile(path: string, owner: number): void {
  const named = lstatSync(path, { throwIfNoEntry: false });
  if (!named) return;
  checkRegular(path, named, owner);
  checkWriters(path, named);
}

/**
 * The text of a file that only its owner may read, from the descriptor that was checked. Throws UserError where others may read it, too:
 * then they may know it already, and to take their rights away now would only hide that.
 */
export function readSecret(path: string, owner: number): string {
  const fd = openRegular(path, owner);
  try {
    const opened = fstatSync(fd);
    checkRegular(path, opened, owner);
    if (opened.mode & used_by_others) {
      throw new UserError(
        `other users may read or change ${path} (mode ${octal(opened)}), so it is no secret: remove it, and the next start makes a new one; or, if you know that nobody has read it, chmod 600 ${path}`,
      );
    }
    return readFileSync(fd, "utf8").trim();
  } finally {
    closeSync(fd);
  }
}

const writable_by_others = 0o022;
const used_by_others = 0o077;

function openRegular(path: string, owner: number): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    checkFile(path, owner); // says why, where it is a link or another user's
    throw error;
  }
}

function checkRegular(path: string, stats: Stats, owner: number): void {
  checkOwner(path, stats, [owner]);
  if (!stats.isFile()) throw new UserError(`${path} is not a regular file: remove it, and the next start makes a new one`);
}

function checkOwner(path: string, { uid }: Pick<Stats, "uid">, owners: readonly number[], setting?: string): void {
  if (owners.includes(uid)) return;
  const [starter = uid] = owners;
  throw new UserError(
    `${path} belongs to ${accountTitle(uid)}, and not to ${owners.map(accountTitle).join(" or ")}: use another directory (--data, ASSAY_DATA_DIR), ${setting === undefined ? "start Assay as its owner" : `name its owner (${setting})`}, or, if you trust what is in it, chown -Rh ${starter} ${path}`,
  );
}

function checkWriters(path: string, stats: Stats): void {
  if ((stats.mode & writable_by_others) === 0) return;
  throw new UserError(
    `other users may write to ${path} (mode ${octal(stats)}), so what is in it may be theirs: use another directory (--data, ASSAY_DATA_DIR), or, if you trust what is in it, chmod go-w ${path}`,
  );
}

function octal({ mode }: Pick<Stats, "mode">): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
