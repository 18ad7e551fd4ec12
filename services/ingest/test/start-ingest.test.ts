import { createServer } from "node:http";
import { ingestRelations, ingestSettings } from "@assay/ingest/settings";
import { closeServer, listen } from "@assay/runtime/listen";
import { readSettings } from "@assay/runtime/settings";
import { givenIngest } from "./given-ingest";

describe("startIngest", () => {
  test("says which port is in use, and which setting changes it", async () => {
    const other = createServer();
    const port = await listen(other, { host: "127.0.0.1", port: 0, setting: "none" });
    await expect(givenIngest({ settings: { port } })).rejects.toThrow(
      `can't listen on 127.0.0.1 port ${port}: the port is in use (ASSAY_INGEST_PORT)`,
    );
    await closeServer(other, 100);
  });

  test("frees its port when it stops", async () => {
    const first = await givenIngest();
    const { port } = first;
    await first.stop();
    const second = await givenIngest({ settings: { port } });
    expect(second.port).toBe(port);
    await second.stop();
  });
});

describe("the settings", () => {
  test("have defaults that fit together", () => {
    expect(readSettings(ingestSettings, {}, ingestRelations).ok).toBe(true);
  });

  test("refuse a decompressed limit below the body's", () => {
    const read = readSettings(ingestSettings, { ASSAY_INGEST_DECOMPRESSED_BYTES_MAX: "1000000" }, ingestRelations);
    expect(read).toEqual({
      ok: false,
      problems: [
        "decompressed limit of 1000000 bytes (ASSAY_INGEST_DECOMPRESSED_BYTES_MAX) is below the body's limit of 4194304 bytes " +
          "(ASSAY_INGEST_BODY_BYTES_MAX)",
      ],
    });
  });
});
