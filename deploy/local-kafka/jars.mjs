/** The servers' jars: fetched once by Maven as pom.xml names them, and kept. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./java.mjs";

const pom = fileURLToPath(new URL("pom.xml", import.meta.url));

/** How the pom is asked for each of them. */
const goals = { broker: "dependency:copy-dependencies", registry: "dependency:copy" };

/** Folder for `part`, "broker" or "registry", with its jars. One folder per content of the pom, complete or not there at all. */
export async function fetchJars(part, say, signal) {
  const cache = process.env.ASSAY_LOCAL_KAFKA_DIR || fileURLToPath(new URL("target", import.meta.url));
  const version = createHash("sha256").update(readFileSync(pom)).digest("hex").slice(0, 12);
  const folder = join(cache, `${part}-${version}`);
  if (existsSync(folder)) return folder;

  say(`fetching the jars of the ${part} from Maven Central into ${folder}`);
  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(join(cache, "fetching-"));
  try {
    await run(
      ["mvn", "--batch-mode", "--quiet", "--file", pom, goals[part], `-DoutputDirectory=${building}`],
      `Maven is missing: install it (Debian, Ubuntu: apt-get install maven), or set ASSAY_LOCAL_KAFKA_DIR to a folder that has ${part}-${version} already`,
      signal,
    );
    await unpackArchives(building);
    renameSync(building, folder);
  } catch (error) {
    rmSync(building, { recursive: true, force: true });
    if (existsSync(folder)) return folder; // another process was faster
    throw error;
  }
  return folder;
}

async function unpackArchives(folder) {
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".tar.gz"))) {
    const archive = join(folder, name);
    await run(["tar", "-xzf", archive, "-C", folder], "tar is missing: install it");
    rmSync(archive);
  }
}
