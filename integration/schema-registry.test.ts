/** Ids from a real registry: what a small server in the unit tests only plays. */
import { randomBytes } from "node:crypto";
import { Codec, folderIds } from "@assay/schemas/codec";
import { readingProblems } from "@assay/schemas/compatibility";
import { type SchemaVersion, schemaVersions } from "@assay/schemas/generated/schemas";
import { subjectOf } from "@assay/schemas/topics";
import { openSchemaRegistry, type RegistryIds } from "@assay/stream/schema-registry";
import { startPrivateRegistry } from "./private-broker";
import { testRegistryUrl } from "./test-servers";

type Schema = SchemaVersion["schema"];
const url = testRegistryUrl();
const names = [...new Set(schemaVersions.map((version) => version.name))];
const silent = { host_id: "h", incarnation: 1, seq: 2, silent_since: 3, at: 4, timeout_ms: 5 };

const opened: RegistryIds[] = [];
afterEach(async () => {
  for (const ids of opened.splice(0)) await ids.close();
});
async function open(): Promise<RegistryIds> {
  const ids = await openSchemaRegistry({ url, retry_wait_ms: 10_000 });
  opened.push(ids);
  return ids;
}

test("replicas that start at once, and one that starts later, agree on every id", async () => {
  const replicas = await Promise.all([open(), open(), open()]);
  replicas.push(await open());
  for (const name of names) expect(new Set(replicas.map((ids) => ids.currentId(name))).size).toBe(1);
  for (const name of names) {
    expect(await ask("GET", `/config/${subjectOf(name)}`)).toEqual({ compatibilityLevel: "BACKWARD_TRANSITIVE" });
  }
});

test("what one process writes, another reads", async () => {
  const wire = new Codec(await open()).encode("HostSilent", silent);
  const reader = await open();
  await reader.learn([{ value: wire }]);
  expect(new Codec(reader).decode(wire)).toEqual({ name: "HostSilent", value: silent });
});

test("a newer Assay's records are read, and its schema keeps no older Assay from starting", async () => {
  const reader = await open();
  const newer = changed("HostSilent", (fields) => [...fields, { name: "later", type: "string", default: "" }]);
  const { id } = (await ask("POST", `/subjects/${subjectOf("HostSilent")}/versions`, { schema: JSON.stringify(newer) })) as {
    id: number;
  };
  const body = new Codec(folderIds()).encode("HostSilent", silent).subarray(5);
  const wire = Buffer.concat([header(id), body, Buffer.from([2, 120])]);
  await reader.learn([{ value: wire }]);
  expect(new Codec(reader).decode(wire)).toEqual({ name: "HostSilent", value: silent });
  const restarted = await open();
  expect(restarted.currentId("HostSilent")).toBe(reader.currentId("HostSilent"));
});

test("the registry refuses what would leave records unreadable", async () => {
  await open();
  const broken = changed("HostSilent", (fields) => [...fields, { name: "needed", type: "string" }]);
  const refused = await fetch(`${url}/subjects/${subjectOf("HostSilent")}/versions`, posted({ schema: JSON.stringify(broken) }));
  expect(refused.status).toBe(409);
});

test("ids of others, and ids that nobody has, make dead letters; the registry being there is all that it takes", async () => {
  const order = { type: "record", name: "Order", namespace: "shop", fields: [{ name: "n", type: "int" }] };
  const { id } = (await ask("POST", `/subjects/${fresh()}/versions`, { schema: JSON.stringify(order) })) as { id: number };
  const ids = await open();
  const codec = new Codec(ids);
  const values = [id, 2_147_483_000].map((one) => Buffer.concat([header(one), Buffer.from([2])]));
  await ids.learn(values.map((value) => ({ value })));
  expect(values.map((value) => codec.decode(value))).toEqual([
    { name: "undecodable", reason: "incompatible_schema", detail: `schema id ${id}: shop.Order is no record of Assay's` },
    { name: "undecodable", reason: "unknown_schema", detail: "schema id 2147483000" },
  ]);
});

test("while the registry is stopped what is known is read, and what isn't waits for it", async () => {
  const registry = await startPrivateRegistry();
  const ids = await openSchemaRegistry({ url: registry.url, retry_wait_ms: 60_000 });
  try {
    const order = { type: "record", name: "Order", namespace: "shop", fields: [{ name: "n", type: "int" }] };
    const asked = await fetch(`${registry.url}/subjects/${fresh()}/versions`, posted({ schema: JSON.stringify(order) }));
    const { id } = (await asked.json()) as { id: number };
    await registry.kill();
    const codec = new Codec(ids);
    const known = codec.encode("HostSilent", silent);
    await ids.learn([{ value: known }]);
    expect(codec.decode(known)).toEqual({ name: "HostSilent", value: silent });

    let isLearnt = false;
    const learning = ids.learn([{ value: Buffer.concat([header(id), Buffer.from([2])]) }]).then(() => {
      isLearnt = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(isLearnt).toBe(false);
    await registry.start();
    await learning;
    expect(ids.refusal?.(id)).toBe("shop.Order is no record of Assay's");
  } finally {
    await ids.close();
    await registry.close();
  }
}, 300_000);

describe("the check without a registry says what the registry says", () => {
  const base = [
    { name: "a", type: "int" },
    { name: "b", type: "string" },
    { name: "e", type: { type: "enum", name: "E", symbols: ["x", "y"] } },
    { name: "u", type: ["null", "string"], default: null },
    { name: "list", type: { type: "array", items: { type: "record", name: "Item", fields: [{ name: "n", type: "long" }] } } },
  ];
  const replace = (name: string, type: unknown, more: object = {}) =>
    base.map((field) => (field.name === name ? { ...field, type, ...more } : field));
  const item = (...fields: readonly object[]) => ({ type: "array", items: { type: "record", name: "Item", fields } });

  test.each<readonly [string, readonly object[]]>([
    ["nothing changed", base],
    ["a new field with a default", [...base, { name: "c", type: "int", default: 0 }]],
    ["a new field without one", [...base, { name: "c", type: "int" }]],
    ["a field that is gone", base.slice(1)],
    ["a wider number", replace("a", "long")],
    ["a narrower number", replace("list", item({ name: "n", type: "int" }))],
    ["another type", replace("b", "boolean")],
    ["a value that may be null", replace("b", ["null", "string"])],
    ["a value that may not be null any more", replace("u", "string", { default: "" })],
    ["a new symbol", replace("e", { type: "enum", name: "E", symbols: ["x", "y", "z"] })],
    ["a symbol that is gone", replace("e", { type: "enum", name: "E", symbols: ["x"] })],
    ["a symbol that is gone, with a default", replace("e", { type: "enum", name: "E", symbols: ["x"], default: "x" })],
    ["a field renamed with an alias", [...base.slice(1), { name: "a2", type: "int", aliases: ["a"] }]],
    ["a new field within a list", replace("list", item({ name: "n", type: "long" }, { name: "m", type: "long" }))],
  ])("%s", async (_, fields) => {
    const schema = (of: readonly object[]) =>
      ({ type: "record", name: "R", namespace: "assay.test", fields: of }) as unknown as Schema;
    const subject = fresh();
    await ask("POST", `/subjects/${subject}/versions`, { schema: JSON.stringify(schema(base)) });
    await ask("PUT", `/config/${subject}`, { compatibility: "BACKWARD_TRANSITIVE" });
    const verdict = await ask("POST", `/compatibility/subjects/${subject}/versions/latest`, {
      schema: JSON.stringify(schema(fields)),
    });
    expect(verdict).toMatchObject({ is_compatible: readingProblems(schema(fields), schema(base)).length === 0 });
  });
});

function changed(name: "HostSilent", change: (fields: readonly object[]) => readonly object[]): object {
  const schema: unknown = schemaVersions.findLast((version) => version.name === name)?.schema;
  const record = schema as { readonly fields: readonly object[] };
  return { ...record, fields: change(record.fields) };
}

function header(id: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(id, 1);
  return bytes;
}

function fresh(): string {
  return `assay-test-${randomBytes(6).toString("hex")}`;
}

function posted(body: object, method = "POST"): RequestInit {
  return { method, headers: { "content-type": "application/vnd.schemaregistry.v1+json" }, body: JSON.stringify(body) };
}

async function ask(method: "GET" | "POST" | "PUT", path: string, body?: object): Promise<unknown> {
  const response = await fetch(url + path, body ? posted(body, method) : { method });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}
