/** A small server that speaks a schema registry's protocol, with faults on demand; the real one's turn is in integration/. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export interface RegistryServer {
  readonly url: string;
  /** As "GET /schemas/ids/5". */
  readonly requests: readonly string[];
  /** Answers in place of the registry while set; undefined lets it through. */
  fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** Subject → ids of its schemas, oldest first. */
  readonly subjects: ReadonlyMap<string, readonly number[]>;
  readonly compatibility: Map<string, string>;
  /** Subjects that take no further schema. */
  readonly closed: Set<string>;
  schema(id: number): string | undefined;
  /** Puts a schema under an id, as somebody else did. */
  put(id: number, schema: object | string, type?: string): void;
  close(): Promise<void>;
}

export interface RegistryServerOptions {
  readonly tls?: boolean;
  /** user:password */
  readonly credentials?: string;
  /** What it says of the compatibility of a subject for which none is set; 404 where undefined, as Confluent's does. */
  readonly default_compatibility?: string;
}

export const fixture = (name: string) => readFileSync(join(__dirname, "fixtures", name));

export async function startRegistryServer(options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const schemas = new Map<number, { schema: string; schemaType?: string }>();
  const subjects = new Map<string, number[]>();
  const compatibility = new Map<string, string>();
  const closed = new Set<string>();
  const requests: string[] = [];
  const expected = options.credentials && `Basic ${Buffer.from(options.credentials).toString("base64")}`;

  const idOf = (schema: string) => [...schemas].find(([, known]) => known.schema === schema)?.[0];
  const register = (subject: string, schema: string): Answer => {
    const ids = subjects.get(subject) ?? [];
    const known = idOf(schema);
    if (known !== undefined && ids.includes(known)) return ok({ id: known });
    if (closed.has(subject)) return [409, { error_code: 409, message: "Schema being registered is incompatible" }];
    const id = known ?? Math.max(100, ...schemas.keys()) + 1;
    schemas.set(id, { schema });
    subjects.set(subject, [...ids, id]);
    return ok({ id });
  };
  const answer = (method: string, path: string, body: { schema?: string; compatibility?: string }): Answer => {
    const [kind = "", name = "", part = "", version = ""] = path.split("/").slice(1).map(decodeURIComponent);
    const ids = subjects.get(name);
    if (kind === "schemas") {
      const found = schemas.get(Number(part));
      return found ? ok(found) : [404, { error_code: 40403, message: "Schema not found" }];
    }
    if (kind === "config" && method === "PUT") {
      compatibility.set(name, body.compatibility ?? "");
      return ok(body);
    }
    if (kind === "config") {
      const level = compatibility.get(name) ?? (ids && options.default_compatibility);
      return level ? ok({ compatibilityLevel: level }) : [404, { error_code: 40408, message: "no level of its own" }];
    }
    if (method === "POST" && part === "versions") return register(name, body.schema ?? "");
    if (method === "POST") {
      const id = ids?.find((one) => schemas.get(one)?.schema === body.schema);
      return id === undefined ? [404, { error_code: 40403, message: "Schema not found" }] : ok({ id });
    }
    if (part === "versions" && version === "latest" && ids) return ok({ id: ids.at(-1), version: ids.length });
    return [404, { error_code: 40401, message: "Subject not found" }];
  };

  const listener: RequestListener = async (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const text: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) text.push(part);
    if (server.fault?.(request, response)) return;
    if (expected !== undefined && request.headers.authorization !== expected) {
      return reply(response, [401, { error_code: 40101, message: "who are you?" }]);
    }
    const body = text.length === 0 ? {} : JSON.parse(Buffer.concat(text).toString("utf8"));
    reply(response, answer(request.method ?? "", request.url ?? "", body));
  };
  const http = options.tls
    ? createTlsServer({ key: fixture("loopback-key.pem"), cert: fixture("loopback-certificate.pem") }, listener)
    : createServer(listener);
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const server: RegistryServer = {
    url: `${options.tls ? "https" : "http"}://127.0.0.1:${(http.address() as AddressInfo).port}`,
    requests,
    fault: undefined,
    subjects,
    compatibility,
    closed,
    schema: (id) => schemas.get(id)?.schema,
    put(id, schema, type) {
      schemas.set(id, {
        schema: typeof schema === "string" ? schema : JSON.stringify(schema),
        ...(type === undefined ? {} : { schemaType: type }),
      });
    },
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
  return server;
}

type Answer = readonly [status: number, body: object];

function ok(body: object): Answer {
  return [200, body];
}

function reply(response: ServerResponse, [status, body]: Answer): void {
  response.writeHead(status, { "content-type": "application/vnd.schemaregistry.v1+json" }).end(JSON.stringify(body));
}
