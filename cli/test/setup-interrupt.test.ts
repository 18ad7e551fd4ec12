/** The real program, since it is the process that must end. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";

test("Ctrl-C ends a setup that waits for a server that doesn't answer", async () => {
  const silent = createServer();
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const address = silent.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const env = {
    PATH: process.env.PATH,
    ASSAY_KAFKA_BROKERS: "127.0.0.1:1",
    ASSAY_SCHEMA_REGISTRY_URL: "http://127.0.0.1:1",
    ASSAY_CLICKHOUSE_URL: `http://127.0.0.1:${port}`,
  };
  const program = spawn(process.execPath, [join(__dirname, "../bin/assay.js"), "setup"], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(program, "close");
  let said = "";
  program.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  try {
    const [socket] = await once(silent, "connection");
    socket.on("error", () => undefined);
    const interrupted_at = performance.now();
    program.kill("SIGINT");
    const [code] = await ended;
    expect([code, said]).toEqual([130, expect.stringMatching(/^interrupted: the setup ends/)]);
    expect(performance.now() - interrupted_at).toBeLessThan(5_000);
  } finally {
    program.kill("SIGKILL");
    silent.close();
  }
});
