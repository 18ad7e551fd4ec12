/** Files outside /proc, small ones: whole or not at all. */
import { lstatSync, readdirSync, readFileSync, realpathSync, type Stats, statSync } from "node:fs";
import { attempt, type Read } from "./read";

export function readText(path: string): Read<string> {
  return attempt(() => {
    const { size } = statSync(path);
    if (size > text_bytes_max) throw new Error(`${path} has ${size} bytes, above the limit of ${text_bytes_max}`);
    return readFileSync(path, "utf8");
  });
}

/** Follows links. */
export function stat(path: string): Read<Stats> {
  return attempt(() => statSync(path));
}

export function linkStat(path: string): Read<Stats> {
  return attempt(() => lstatSync(path));
}

export function realPath(path: string): Read<string> {
  return attempt(() => realpathSync(path));
}

export function names(folder: string): Read<string[]> {
  return attempt(() => readdirSync(folder).sort());
}

export function exists(path: string): boolean {
  return attempt(() => statSync(path)).kind === "read";
}

const text_bytes_max = 16 * 1024 * 1024;
