/** A schema registry (Apicurio) on loopback, that speaks Confluent's API. Its schemas are in a file of H2, so they outlive it as the broker's records do, also when it is killed (hence no WRITE_DELAY). */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { javaTool } from "./java.mjs";
import { startServerProcess } from "./server-process.mjs";

const heap_mb = 256;
const answer_wait_ms = 2_000;

/** Resolves when it lists its subjects. */
export async function startRegistry({ jars, data_dir, port, signal }) {
  const runner = readdirSync(jars).find((file) => file.endsWith("-runner.jar"));
  if (runner === undefined) throw new Error(`${jars} has no *-runner.jar: remove that folder, and it is fetched again`);
  mkdirSync(data_dir, { recursive: true });
  const registry = startServerProcess({
    name: "schema registry",
    command: [javaTool("java"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", `-Xmx${heap_mb}m`, "-jar", join(jars, runner)],
    log_file: join(data_dir, "registry.log"),
    env: {
      QUARKUS_HTTP_HOST: "127.0.0.1",
      QUARKUS_HTTP_PORT: String(port),
      QUARKUS_HTTP_ACCESS_LOG_ENABLED: "false",
      REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(data_dir, "registry")};WRITE_DELAY=0`,
    },
  });
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
  try {
    await registry.waitUntil(() => listsSubjects(url), signal);
  } catch (error) {
    await registry.stop();
    throw error;
  }
  return { ...registry, url };
}

async function listsSubjects(url) {
  try {
    const response = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(answer_wait_ms) });
    return response.ok && Array.isArray(await response.json());
  } catch {
    return false; // not yet
  }
}
