import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Below the range from which Linux takes ports of outgoing connections: there a port stays free until its server, or its restarted server, wants it. */
const port_first = 15_000;
const port_last = 32_000;
const tries_max = 100;

/** A port of 127.0.0.1 on which nobody listens now. */
export async function freePort() {
  for (let i = 0; i < tries_max; i++) {
    const port = randomInt(port_first, port_last);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${port_first} and ${port_last} in ${tries_max} tries`);
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
