/**
 * Gives a directory, with everything in it, from one user to another. Only root can, while the old owner may still change it under its
 * hands; so each directory is opened without following a link and then acted on by its descriptor, and each file is checked by its
 * descriptor before it changes hands. The directory itself goes last: where the rest was refused, it is tried again by the next start.
 *
 * Links keep their owner: nothing asks for it, and ClickHouse has some.
 */
import { closeSync, constants, fchownSync, fstatSync, lstatSync, openSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import { UserError } from "../io";
import { accountTitle } from "./accounts";

export interface HandOver {
  readonly path: string;
  /** Whose files change hands; the new owner's own may be there, too. */
  readonly from: readonly number[];
  readonly to: { readonly uid: number; readonly gid: number };
}

/** Throws UserError at the first file that is not theirs, has a second name elsewhere, or is neither file, directory nor link. */
export function handOver({ path, from, to }: HandOver): void {
  directory(path, path, { owners: [...from, to.uid], to });
}

interface Rule {
  readonly owners: readonly number[];
  readonly to: HandOver["to"];
}

const as_it_stands = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** reached: by way of the opened parent; path: for messages. */
function directory(reached: string, path: string, rule: Rule): void {
  const fd = openSync(reached, as_it_stands | constants.O_DIRECTORY);
  try {
    checkOwner(path, fstatSync(fd), rule);
    const held = `/proc/self/fd/${fd}`;
    for (const name of readdirSync(held)) entry(join(held, name), join(path, name), rule);
    fchownSync(fd, rule.to.uid, rule.to.gid);
  } finally {
    closeSync(fd);
  }
}

function entry(reached: string, path: string, rule: Rule): void {
  const named = lstatSync(reached);
  if (named.isSymbolicLink()) return;
  if (named.isDirectory()) directory(reached, path, rule);
  else if (named.isFile()) file(reached, path, rule);
  else throw new UserError(`${path} is neither a file nor a directory: nothing of Assay's makes such a thing, remove it`);
}

function file(reached: string, path: string, rule: Rule): void {
  const fd = openSync(reached, as_it_stands);
  try {
    const opened = fstatSync(fd);
    if (!opened.isFile()) throw new UserError(`${path} was changed for something else while it changed hands`);
    checkOwner(path, opened, rule);
    if (opened.uid === rule.to.uid) return;
    // ClickHouse makes hard links too, but where only one name is seen, the other could be any file of the machine.
    if (opened.nlink > 1) {
      throw new UserError(
        `${path} has ${opened.nlink} names, another of which may stand elsewhere, so it is not handed over: if you trust what is in it, chown it yourself`,
      );
    }
    fchownSync(fd, rule.to.uid, rule.to.gid);
  } finally {
    closeSync(fd);
  }
}

function checkOwner(path: string, { uid }: Stats, { owners, to }: Rule): void {
  if (owners.includes(uid)) return;
  throw new UserError(
    `${path} belongs to ${accountTitle(uid)}, so it is not handed over to ${accountTitle(to.uid)}: remove it, or, if you trust what is in it, chown it yourself`,
  );
}
