/** A small server that speaks what a registry says to an agent: under which id it has a schema. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface RegistryServer {
  readonly url: string;
  readonly requests: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly schema: string }[];
  answer: (path: string) => { readonly status: number; readonly body: unknown };
  close(): Promise<void>;
}

export async function startRegistryServer(): Promise<RegistryServer> {
  const http = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const path = decodeURIComponent(request.url ?? "");
    server.requests.push({ path, headers: request.headers, schema: JSON.parse(Buffer.concat(parts).toString()).schema });
    const { status, body } = server.answer(path);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const server: RegistryServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    requests: [],
    answer: () => ({ status: 404, body: { error_code: 40403, message: "Schema not found" } }),
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
  return server;
}
