import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { probeListener } from "@assay/agent/collect/probe";
import { Prober } from "@assay/agent/collect/prober";

const servers: Server[] = [];
const sockets = new Set<Socket>();

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

const own = new OwnConnections(Date.now);
const never = new AbortController().signal;
const certificate = (name: string) => readFileSync(join(__dirname, "..", "fixtures", name));

it("hears a greeting", async () => {
  const port = await listening(createServer((socket) => socket.write("220 (vsFTPd 3.0.3)\r\n")));
  expect(await probeListener("127.0.0.1", port, own, never)).toEqual({
    application_protocol: "ftp",
    channel: "cleartext",
    tls: null,
  });
});

it("finds HTTP by asking", async () => {
  const port = await listening(createHttpServer((_, response) => response.end()));
  expect(await probeListener("127.0.0.1", port, own, never)).toEqual({
    application_protocol: "http",
    channel: "cleartext",
    tls: null,
  });
});

it("finds TLS, with its certificate and what is spoken within", async () => {
  const server = createTlsServer(
    { key: certificate("server-key.pem"), cert: certificate("server-certificate.pem") },
    (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    },
  );
  const port = await listening(server);
  expect(await probeListener("127.0.0.1", port, own, never)).toEqual({
    application_protocol: "http",
    channel: "tls",
    tls: {
      version: "TLSv1.3",
      cipher: expect.stringMatching(/^TLS_/),
      certificate_subject: "CN=demo.example, O=Assay tests",
      certificate_issuer: "CN=demo.example, O=Assay tests",
      certificate_not_after: expect.any(Number),
      self_signed: true,
    },
  });
});

it("takes 0 for the end of a certificate that names no time", async () => {
  const pem = certificate("server-certificate.pem").toString();
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64").toString("latin1");
  const broken = Buffer.from(der.replace(/\d{14}Z/, "99999999999999Z"), "latin1"); // its begin has 12 digits
  const cert = `-----BEGIN CERTIFICATE-----\n${broken.toString("base64")}\n-----END CERTIFICATE-----\n`;
  const server = createTlsServer({ key: certificate("server-key.pem"), cert }, (socket) => {
    socket.on("error", () => undefined);
    socket.end("220 ready FTP\r\n");
  });
  const port = await listening(server);
  expect((await probeListener("127.0.0.1", port, own, never)).tls?.certificate_not_after).toBe(0);
});

it("hears nothing of servers that hang up or aren't there", async () => {
  const nothing = { application_protocol: "", channel: "unknown", tls: null };
  const rude = await listening(createServer((socket) => socket.destroy()));
  const gone = await listening(createServer());
  await new Promise((resolve) => servers.pop()?.close(resolve));
  const heard = await Promise.all([rude, gone].map((port) => probeListener("127.0.0.1", port, own, never)));
  expect(heard).toEqual([nothing, nothing]);
});

it("asks a silent server by two connections, more than a second apart, and says that they are its own", async () => {
  const seen: { readonly remote: number; readonly at: number }[] = [];
  const port = await listening(createServer((socket) => seen.push({ remote: socket.remotePort ?? 0, at: performance.now() })));
  const noted = new OwnConnections(Date.now);
  expect(await probeListener("127.0.0.1", port, noted, never)).toEqual({
    application_protocol: "",
    channel: "unknown",
    tls: null,
  });
  // Others on this machine may look at the port too, such as an agent that runs there.
  const times = seen.filter(({ remote }) => noted.has(`127.0.0.1:${port}`, `127.0.0.1:${remote}`)).map(({ at }) => at);
  expect(times).toHaveLength(2);
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(1_000);
});

it("ends at once when it is aborted", async () => {
  const port = await listening(createServer(() => undefined));
  const aborter = new AbortController();
  const heard = probeListener("127.0.0.1", port, own, aborter.signal);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const started = performance.now();
  aborter.abort();
  expect((await heard).application_protocol).toBe("");
  expect(performance.now() - started).toBeLessThan(400);
});

describe("the prober", () => {
  function prober(once: readonly number[] = []) {
    const asked: string[] = [];
    const release: (() => void)[] = [];
    const subject = new Prober({
      enabled: true,
      once_ports: new Set(once),
      own,
      between_probes_ms: 0,
      probe: (address, port) => {
        asked.push(`${address} ${port}`);
        return new Promise((resolve) => release.push(() => resolve({ application_protocol: "", channel: "unknown", tls: null })));
      },
    });
    const consider = (port: number, now: number, opened_at = 0) =>
      subject.consider({ address: "::", port, opened_at }, now, () => undefined);
    const finish = async () => {
      for (const settle of release.splice(0)) settle();
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    return { subject, asked, consider, finish };
  }

  it("asks four at a time, none before it has settled", async () => {
    const { subject, asked, consider, finish } = prober();
    consider(80, 1_999);
    expect(asked).toEqual([]);
    for (const port of [1, 2, 3, 4, 5]) consider(port, 2_000);
    expect(asked).toEqual(["::1 1", "::1 2", "::1 3", "::1 4"]);
    await finish();
    consider(5, 4_000);
    expect(asked).toHaveLength(5);
    await finish();
    await subject.stop();
  });

  it("asks again after 12 h, or when the listener opened anew, but Assay's own never", async () => {
    const { subject, asked, consider, finish } = prober([8_081]);
    consider(80, 10_000);
    consider(8_081, 10_000);
    await finish();
    consider(80, 3_600_000);
    expect(asked).toHaveLength(2);
    consider(80, 3_600_000, 3_000_000);
    expect(asked).toHaveLength(3);
    await finish();
    consider(80, 50 * 3_600_000);
    consider(8_081, 50 * 3_600_000, 40 * 3_600_000);
    expect(asked).toHaveLength(4);
    await finish();
    await subject.stop();
  });
});
