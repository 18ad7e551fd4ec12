/**
 * A directory of rule packages, read for the loader: a package is a folder in it with a package.yml and rule files beside or below. A
 * folder without one, such as a checkout of somebody's Sigma rules, is a package named after the folder, its digest for a version.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join, relative, resolve, sep } from "node:path";
import { type Manifest, manifest, type PackageFiles, readManifest } from "./load";

export const package_files_max = 20_000;

/** Sorted by name. Throws where the directory can't be read. */
export async function readPackages(directory: string): Promise<PackageFiles[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map((entry) => entry.name);
  const packages = await Promise.all(folders.sort().map((folder) => readPackage(join(directory, folder))));
  return packages.filter((pack) => pack.files.length > 0).sort((a, b) => (a.name < b.name ? -1 : 1));
}

export async function readPackage(folder: string): Promise<PackageFiles> {
  const paths = await ruleFilesIn(folder);
  const files = await Promise.all(
    paths.map(async (path) => ({ path: relative(folder, path).split(sep).join("/"), text: await readFile(path, "utf8") })),
  );
  const digest = digestOf(files);
  const own = files.find((file) => file.path === manifest);
  // What is wrong with a package.yml is told by the loader, which reads it again.
  const said: Manifest = own ? readManifest(manifest, own.text, []) : {};
  return { name: said.name ?? nameFrom(folder), version: said.version ?? digest.slice(0, 12), digest, files };
}

/** SHA-256, hex, over each path and text, ended by a zero byte, in the order of the paths' code units. */
export function digestOf(files: PackageFiles["files"]): string {
  const hash = createHash("sha256");
  for (const { path, text } of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) hash.update(`${path}\0${text}\0`);
  return hash.digest("hex");
}

async function ruleFilesIn(folder: string): Promise<string[]> {
  if (!(await stat(folder)).isDirectory()) throw new Error(`${folder} is not a folder of rules`);
  const names = await readdir(folder, { recursive: true });
  const files = names.filter((name) => /\.ya?ml$/.test(name)).sort();
  if (files.length > package_files_max) {
    throw new Error(`${folder} has ${files.length} rule files, the limit is ${package_files_max}; split the package`);
  }
  return files.map((name) => join(folder, name));
}

/** A name that packages may have, made from the folder's. */
function nameFrom(folder: string): string {
  const name = basename(resolve(folder))
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 63);
  return name === "" ? "rules" : name;
}
