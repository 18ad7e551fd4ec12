/** Where the code stands that child processes run. Beside this file once built; tests run from the sources and use the built code. */
import { dirname, join } from "node:path";

const room = join(__dirname, "../..");
const dist = join(room, "dist");

export const servicesScript = join(dist, "embedded/services-main.js");
export const threadScript = join(dist, "embedded/service-thread-main.js");
export const deadLettersScript = join(dist, "dead-letters/dead-letters-main.js");
export const auditScript = join(dist, "audit/audit-main.js");
export const agentScript = join(dirname(room), "agent/dist/main.js");
export const rulesDirectory = join(dirname(room), "rules");

/** What the services' user must be able to read: our code, and that of others. */
export function codePaths(): readonly string[] {
  return [servicesScript, rulesDirectory, require.resolve("commander")];
}
