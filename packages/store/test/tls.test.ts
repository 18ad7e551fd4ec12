/**
 * A real engine behind a real TLS server: the engine's library has no https port. fixtures/tls-*: a CA and what it signed for 127.0.0.1, made
 * by openssl for these tests, good until 2126.
 */
import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connectStore, type Store, type StoreOptions } from "../src/client";
import type { Engine } from "../src/engine";
import { migrate } from "../src/migrate";
import { activity, blockOf, noon } from "./activity";
import { TemporaryEngines } from "./temporary-engine";

const ca = fixture("tls-ca.pem");
const certificate = fixture("tls-client.pem");
const key = fixture("tls-client.key");

let engines: TemporaryEngines;
let engine: Engine;
const servers: Server[] = [];
const stores: Store[] = [];
let heard: IncomingHttpHeaders;

beforeAll(async () => {
  engines = new TemporaryEngines();
  engine = await engines.start();
});
afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await engines.endAll();
});

describe("a server with a certificate of a private authority", () => {
  let url: string;
  beforeAll(async () => {
    url = await proxy({});
  });

  it("is trusted by the authority's certificate", async () => {
    const store = connect({ url, tls: { ca } });
    await migrate(store);
    await store.insertBlock(blockOf("finding_activity", [activity(0), activity(1)], "over TLS"));
    expect(await store.query("SELECT finding_id, at FROM assay.finding_activity ORDER BY finding_id")).toEqual([
      { finding_id: "f0", at: noon },
      { finding_id: "f1", at: noon + 1 },
    ]);
  });

  it("is not trusted without it, nor when it is spoken to without TLS, and the error says what to set", async () => {
    const began = Date.now();
    await expect(connect({ url }).query("SELECT 1")).rejects.toThrow(/127\.0\.0\.1:\d+: .*\(ASSAY_CLICKHOUSE_CA_FILE\)/);
    await expect(connect({ url: engine.url.replace("http:", "https:"), tls: { ca } }).query("SELECT 1")).rejects.toThrow(
      "is the port one for https (ASSAY_CLICKHOUSE_URL)?",
    );
    expect(Date.now() - began).toBeLessThan(5_000);
  });

  it("is refused under another name", async () => {
    const store = connect({ url: url.replace("127.0.0.1", "localhost"), tls: { ca } });
    await expect(store.query("SELECT 1")).rejects.toThrow("its certificate is for another name (ASSAY_CLICKHOUSE_URL)");
  });
});

describe("a server that asks for a certificate", () => {
  let url: string;
  beforeAll(async () => {
    url = await proxy({ requestCert: true, rejectUnauthorized: true, ca });
  });

  it("takes one of its authority, together with the password", async () => {
    const store = connect({ url, tls: { ca, certificate, key } });
    expect(await store.query("SELECT currentUser() AS user")).toEqual([{ user: engine.username }]);
    expect(heard["x-clickhouse-ssl-certificate-auth"]).toBeUndefined();
  });

  it("lets nobody in without one, and the error says so", async () => {
    await expect(connect({ url, tls: { ca } }).query("SELECT 1")).rejects.toThrow("ASSAY_CLICKHOUSE_CERT_FILE");
  });

  it("is told to know the user by the certificate where there is no password", async () => {
    await connect({ url, tls: { ca, certificate, key }, password: "" })
      .query("SELECT 1")
      .catch(() => undefined);
    expect(heard).toMatchObject({ "x-clickhouse-ssl-certificate-auth": "on", "x-clickhouse-user": engine.username });
  });
});

it.each([
  ["a key without its certificate", { ca, key }, "the certificate is missing"],
  ["a certificate without its key", { ca, certificate }, "the key is missing"],
])("refuses %s", (_name, tls, reason) => {
  expect(() => connect({ url: "https://127.0.0.1:1", tls })).toThrow(reason);
});

it("refuses files for TLS with a URL that has none", () => {
  expect(() => connect({ url: engine.url, tls: { ca } })).toThrow("is no https URL (ASSAY_CLICKHOUSE_URL)");
});

/** Speaks TLS with the client and passes everything on to the engine. */
async function proxy(options: ServerOptions): Promise<string> {
  const server = createServer(
    { ...options, cert: fixture("tls-server.pem"), key: fixture("tls-server.key") },
    (request, response) => {
      heard = request.headers;
      const onward = httpRequest(
        `${engine.url}${request.url ?? ""}`,
        { method: request.method ?? "GET", headers: { ...request.headers, connection: "close" } },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        },
      );
      request.pipe(onward);
    },
  );
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function connect(options: Partial<StoreOptions>): Store {
  const store = connectStore({
    url: engine.url,
    username: engine.username,
    password: engine.password,
    retry_wait_ms: 500,
    ...options,
  });
  stores.push(store);
  return store;
}

function fixture(name: string): Buffer {
  return readFileSync(join(__dirname, "fixtures", name));
}
