/** The servers' jars: fetched once by Maven as pom.xml names them, and kept. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const pom = fileURLToPath(new URL("pom.xml", import.meta.url));
const java_version_min = 17;

/** How the pom is asked for each of them. */
const goals = { broker: "dependency:copy-dependencies", registry: "dependency:copy" };

/** Folder for `part`, "broker" or "registry", with its jars. One folder per content of the pom, complete or not there at all. */
export async function fetchJars(part, say) {
  const cache = process.env.ASSAY_LOCAL_KAFKA_DIR ?? fileURLToPath(new URL("target", import.meta.url));
  const version = createHash("sha256").update(readFileSync(pom)).digest("hex").slice(0, 12);
  const folder = join(cache, `${part}-${version}`);
  if (existsSync(folder)) return folder;

  say(`fetching the jars of the ${part} from Maven Central into ${folder}`);
  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(join(cache, "fetching-"));
  try {
    await run(
      ["mvn", "--batch-mode", "--quiet", "--file", pom, goals[part], `-DoutputDirectory=${building}`],
      "Maven is missing: install it (Debian: apt-get install maven), or set ASSAY_LOCAL_KAFKA_DIR to a folder that has the jars already",
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

/** Rejects with what to install unless there is a Java that runs the servers. */
export async function checkJava() {
  const missing = `Java is missing: install version ${java_version_min} or newer (Debian: apt-get install openjdk-17-jdk-headless)`;
  const said = await run(["java", "-version"], missing);
  const version = Number(/version "(\d+)/.exec(said)?.[1] ?? 0);
  if (version < java_version_min)
    throw new Error(`Java ${version} is too old for the broker: install version ${java_version_min} or newer`);
}

/** Runs a tool to its end; resolves with what it wrote. */
export function run(command, missing) {
  const [file, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    child.once("error", (error) => reject(error.code === "ENOENT" ? new Error(missing) : error));
    child.once("close", (code, signal) => {
      if (code === 0) resolve(said);
      else reject(new Error(`${file} ended with ${signal ?? `exit code ${code}`}:\n${said.trim()}`));
    });
  });
}

async function unpackArchives(folder) {
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".tar.gz"))) {
    const archive = join(folder, name);
    await run(["tar", "-xzf", archive, "-C", folder], "tar is missing: install it");
    rmSync(archive);
  }
}
