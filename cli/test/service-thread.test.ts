import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServiceThread } from "@assay/cli/embedded/service-thread";
import { createLogger } from "@assay/runtime/logger";

jest.mock("@assay/cli/embedded/code-paths", () => ({ threadScript: `${__dirname}/fixtures/service-thread.cjs` }));

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "assay-thread-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a service that is told to stop twice is told so once, and both wait for its end", async () => {
  const file = join(directory, "stops");
  const plan = { service: "ingest", log: { kind: "embedded", directory }, env: { STOPS_FILE: file } } as const;
  const thread = new ServiceThread("ingest", plan, createLogger({ service: "test", level: "silent" }));
  expect(await thread.start()).toBe(1);
  await Promise.all([thread.stop(), thread.stop()]);
  expect(readFileSync(file, "utf8")).toBe("stop\n");
  expect(await thread.ready()).toMatchObject({ ready: false });
  await thread.stop();
});
