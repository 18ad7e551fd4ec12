import type { IncomingMessage, ServerResponse } from "node:http";
import { Codec, folderIds } from "@assay/schemas/codec";
import { type SchemaVersion, schemaVersions } from "@assay/schemas/generated/schemas";
import { subjectOf } from "@assay/schemas/topics";
import { openSchemaRegistry, type RegistryIds, type SchemaRegistryOptions } from "@assay/stream/schema-registry";
import { fixture, type RegistryServer, type RegistryServerOptions, startRegistryServer } from "./registry-server";

type Schema = SchemaVersion["schema"];
const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function given(options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const server = await startRegistryServer(options);
  ending.push(() => server.close());
  return server;
}

async function open(server: RegistryServer, options: Partial<SchemaRegistryOptions> = {}): Promise<RegistryIds> {
  const ids = await openSchemaRegistry({ url: server.url, retry_wait_ms: 5_000, ...options });
  ending.push(() => ids.close());
  return ids;
}

const current = new Map(schemaVersions.map((version) => [version.name, version]));
const progress = { stage: "s", partition: 0, position: 1, at: 2, hosts: {} };
const recordOf = (id: number) => {
  const value = new Codec({ ...folderIds(), currentId: () => id }).encode("Progress", progress);
  return { value };
};
const status =
  (code: number, body: string, type = "text/html") =>
  (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(code, { "content-type": type, location: "http://127.0.0.1:1/login" }).end(body);
    return true;
  };

describe("opening", () => {
  test("registers every schema under its topic's and record's subject, once, as BACKWARD_TRANSITIVE", async () => {
    const server = await given();
    const ids = await open(server);
    const again = await open(server);
    const names = [...current.keys()];
    expect([...server.subjects.keys()].sort()).toEqual(names.map(subjectOf).sort());
    expect(subjectOf("HostSilent")).toBe("assay.telemetry-assay.HostSilent");
    for (const name of names) {
      const subject = subjectOf(name);
      const id = ids.currentId(name);
      expect(again.currentId(name)).toBe(id);
      expect(server.subjects.get(subject)?.at(-1)).toBe(id);
      expect(JSON.parse(server.schema(id) ?? "")).toEqual(current.get(name)?.schema);
      expect(server.compatibility.get(subject)).toBe("BACKWARD_TRANSITIVE");
      expect(ids.writer(id)).toEqual({ name, schema: current.get(name)?.schema });
    }
    const wire = new Codec(ids).encode("Progress", progress);
    expect(wire.readUInt32BE(1)).toBe(ids.currentId("Progress"));
    expect(new Codec(again).decode(wire)).toEqual({ name: "Progress", value: progress });
  });

  test("sets what is weaker, and what a registry says of subjects for which nothing is set; leaves what is stricter", async () => {
    const server = await given({ default_compatibility: "NONE" });
    server.compatibility.set(subjectOf("Progress"), "FULL_TRANSITIVE");
    server.compatibility.set(subjectOf("Command"), "FORWARD");
    await open(server);
    server.compatibility.delete(subjectOf("HostSilent")); // as after a crash between registering and setting
    const warned: object[] = [];
    await open(server, { logger: { info: () => undefined, warn: (fields) => warned.push(fields) } });
    const levels = (name: Parameters<typeof subjectOf>[0]) => server.compatibility.get(subjectOf(name));
    expect(levels("Progress")).toBe("FULL_TRANSITIVE");
    expect(levels("Command")).toBe("BACKWARD_TRANSITIVE");
    expect(levels("HostSilent")).toBe("BACKWARD_TRANSITIVE");
    expect(warned).toEqual([expect.objectContaining({ subject: subjectOf("HostSilent"), compatibility: "BACKWARD_TRANSITIVE" })]);
  });

  test("registers older versions before the current one, and does without those that are refused", async () => {
    const older = { type: "record", name: "assay.Progress", fields: fieldsOf("Progress").slice(0, 2) } as unknown as Schema;
    const versions = (...schemas: readonly Schema[]): readonly SchemaVersion[] =>
      schemas.map((schema, index) => ({ id: index + 1, name: "Progress", version: index + 1, schema }));
    const newest = current.get("Progress")?.schema ?? older;
    const server = await given();
    const open = async (known: readonly SchemaVersion[]) => {
      const ids = await openSchemaRegistry({ url: server.url }, known);
      ending.push(() => ids.close());
      return ids;
    };
    const ids = await open(versions(older, newest));
    const registered = server.subjects.get(subjectOf("Progress")) ?? [];
    expect(registered.map((id) => ids.writer(id)?.schema)).toEqual([older, newest]);
    expect(ids.currentId("Progress")).toBe(registered[1]);
    server.closed.add(subjectOf("Progress"));
    const other = { ...(older as object), doc: "never registered" } as unknown as Schema;
    expect((await open(versions(other, newest))).currentId("Progress")).toBe(registered[1]);
    await expect(open(versions(newest, other))).rejects.toThrow(/refuses version 2 of Progress/);
  });

  test("says which subject refuses which schema, and what to do", async () => {
    const server = await given();
    server.closed.add(subjectOf("HostWindow"));
    const version = current.get("HostWindow")?.version;
    const expected = new RegExp(
      `refuses version ${version} of HostWindow under the subject assay.host-windows-assay.HostWindow: .*incompatible.*newer Assay.*delete`,
    );
    await expect(open(server)).rejects.toThrow(expected);
    expect(server.requests.filter((r) => r === `POST /subjects/${subjectOf("HostWindow")}/versions`)).toHaveLength(1);
  });

  test("takes a conflict for registered where another replica was faster with the same", async () => {
    const server = await given();
    const before = await open(server);
    server.fault = (request, response) =>
      request.method === "POST" && (request.url ?? "").endsWith("/versions")
        ? status(409, '{"message":"conflict"}')(request, response)
        : false;
    const ids = await open(server);
    expect(ids.currentId("Command")).toBe(before.currentId("Command"));
  });

  test("waits for a registry that is away, and goes on when it comes", async () => {
    const server = await given();
    const faults = [status(503, "starting"), status(404, "<html>no such route"), status(302, ""), status(200, "<html>log in")];
    let n = 0;
    server.fault = (request, response) => {
      const fault = faults[n++];
      if (n === 3) request.socket.destroy();
      return n === 3 || (fault?.(request, response) ?? false);
    };
    const lines: string[] = [];
    const log = (_: object, message: string) => lines.push(message);
    const ids = await open(server, { logger: { info: log, warn: log } });
    expect(ids.currentId("Command")).toBeGreaterThan(0);
    expect(n).toBeGreaterThan(faults.length);
    expect(lines[0]).toMatch(/is away/);
    expect(lines.at(-1)).toMatch(/answers again/);
  });

  test("gives up after its time, naming the limit", async () => {
    const server = await given();
    server.fault = status(503, "starting");
    const began = performance.now();
    await expect(open(server, { retry_wait_ms: 400 })).rejects.toThrow(
      /at http:\/\/127.0.0.1:\d+ gave no answer for 400 ms.*ASSAY_KAFKA_RETRY_MS.*503/,
    );
    expect(performance.now() - began).toBeGreaterThanOrEqual(390);
    expect(performance.now() - began).toBeLessThan(4_000);
  });

  test("takes credentials from the options or the URL, and tells nobody", async () => {
    const server = await given({ credentials: "assay:s3cret" });
    await open(server, { username: "assay", password: "s3cret" });
    await open(server, { url: server.url.replace("//", "//assay:s3cret@") });
    const said: unknown[] = [];
    const say = (...all: unknown[]) => said.push(all);
    const wrong = open(server, { url: server.url.replace("//", "//assay:wr0ng@"), logger: { info: say, warn: say } });
    await expect(wrong).rejects.toThrow(/refuses the credentials \(401\): ASSAY_SCHEMA_REGISTRY_USER/);
    const error = (await wrong.catch((reason: unknown) => reason)) as Error;
    const told = JSON.stringify([said, error.message, error.stack, error.cause, String(error.cause)]);
    expect(told).not.toMatch(/wr0ng|s3cret/);
    expect(told).not.toContain(Buffer.from("assay:wr0ng").toString("base64"));
  });

  test("speaks TLS with an authority of its own, and with no other", async () => {
    const server = await given({ tls: true });
    const ids = await open(server, { ca: fixture("loopback-certificate.pem") });
    expect(ids.currentId("Command")).toBeGreaterThan(0);
    await expect(open(server, { retry_wait_ms: 200 })).rejects.toThrow(/self-signed|certificate/);
  });
});

describe("learning ids from records", () => {
  test("asks for nothing that is known, and nothing of what is no wire format", async () => {
    const server = await given();
    const ids = await open(server);
    const before = server.requests.length;
    await ids.learn([
      recordOf(ids.currentId("Progress")),
      { value: null },
      { value: Buffer.from("{}") },
      { value: Buffer.from([0, 0]) },
      { value: Buffer.from("text that is long") },
    ]);
    expect(server.requests.length).toBe(before);
  });

  test("fetches another's schema of a record of ours once, however many ask", async () => {
    const server = await given();
    const ids = await open(server);
    const newer = {
      type: "record",
      name: "Progress",
      namespace: "assay",
      fields: [...fieldsOf("Progress"), { name: "later", type: "string" }],
    };
    server.put(900, newer);
    await Promise.all([ids.learn([recordOf(900), recordOf(900)]), ids.learn([recordOf(900)])]);
    await ids.learn([recordOf(900)]);
    expect(server.requests.filter((r) => r === "GET /schemas/ids/900")).toHaveLength(1);
    const body = Buffer.concat([recordOf(900).value, Buffer.from([2, 120])]);
    expect(new Codec(ids).decode(body)).toEqual({ name: "Progress", value: progress });
  });

  test.each<readonly [string, object | string, string | undefined, RegExp]>([
    [
      "of another's record",
      { type: "record", name: "Order", namespace: "shop", fields: [] },
      undefined,
      /shop\.Order is no record of Assay's/,
    ],
    ["that is no record", { type: "enum", name: "assay.Progress", symbols: ["a"] }, undefined, /is no Avro record/],
    ["of JSON schema", { type: "object" }, "JSON", /is no Avro record/],
    ["that can't be parsed", "{not a schema", undefined, /can't be understood/],
    [
      "of ours that can't be read",
      { type: "record", name: "assay.Progress", fields: [{ name: "other", type: "int" }] },
      undefined,
      /can't read that Progress/,
    ],
  ])("a schema %s makes dead letters of its records, and of no others", async (_, schema, type, detail) => {
    const server = await given();
    const ids = await open(server);
    server.put(900, schema, type);
    const good = recordOf(ids.currentId("Progress"));
    await ids.learn([recordOf(900), good]);
    const codec = new Codec(ids);
    expect(codec.decode(recordOf(900).value)).toEqual({
      name: "undecodable",
      reason: "incompatible_schema",
      detail: expect.stringMatching(detail),
    });
    expect(codec.decode(good.value)).toEqual({ name: "Progress", value: progress });
    const before = server.requests.length;
    await ids.learn([recordOf(900)]);
    expect(server.requests.length).toBe(before);
  });

  test("an id that the registry doesn't have is unknown, after a second question, and remembered", async () => {
    const server = await given();
    const ids = await open(server);
    await Promise.all([ids.learn([recordOf(901), recordOf(902)]), ids.learn([recordOf(901)])]);
    const asked = server.requests.filter((r) => r.startsWith("GET /schemas/ids/"));
    expect(asked.sort()).toEqual(["901", "901", "902", "902"].map((id) => `GET /schemas/ids/${id}`));
    expect(new Codec(ids).decode(recordOf(901).value)).toMatchObject({ reason: "unknown_schema" });
    const before = server.requests.length;
    await ids.learn([recordOf(901), recordOf(902)]);
    expect(server.requests.length).toBe(before);
  });

  test("an id that was registered a moment ago, and that the registry has late, is found", async () => {
    const server = await given();
    const ids = await open(server);
    const learning = ids.learn([recordOf(900)]);
    setTimeout(() => server.put(900, current.get("Progress")?.schema as object), 200);
    await learning;
    expect(new Codec(ids).decode(recordOf(900).value)).toEqual({ name: "Progress", value: progress });
  });

  test.each<readonly [string, (request: IncomingMessage, response: ServerResponse) => boolean]>([
    ["it answers 500", status(500, "no")],
    ["a proxy says that there is no such route", status(404, '{"message":"no route"}', "application/json")],
    ["a proxy wants a login", status(302, "")],
    ["a proxy shows a page", status(200, "<html>maintenance")],
  ])("while the registry is away, no record is judged: %s", async (_, fault) => {
    const server = await given();
    const ids = await open(server, { retry_wait_ms: 300 });
    server.put(900, current.get("Progress")?.schema as object);
    server.fault = fault;
    await expect(ids.learn([recordOf(900)])).rejects.toThrow(/gave no answer for 300 ms/);
    server.fault = undefined;
    await ids.learn([recordOf(900)]);
    expect(new Codec(ids).decode(recordOf(900).value)).toEqual({ name: "Progress", value: progress });
  });

  test("closing ends what waits", async () => {
    const server = await given();
    const ids = await open(server, { retry_wait_ms: 60_000 });
    server.fault = () => true; // never answers
    const learning = ids.learn([recordOf(900)]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await Promise.all([expect(learning).rejects.toThrow(/was closed/), ids.close()]);
    await expect(ids.learn([recordOf(901)])).rejects.toThrow(/was closed/);
  });
});

function fieldsOf(name: "Progress"): readonly object[] {
  const schema: unknown = current.get(name)?.schema ?? {};
  return (schema as { readonly fields: readonly object[] }).fields;
}
