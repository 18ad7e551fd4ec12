import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { parseSocketTable } from "../../src/parse/socket-table";
import { ProcReader } from "../../src/read/proc";

test("a socket table that is longer than the first buffer is read to its end", async () => {
  const accepted: Socket[] = [];
  const server = createServer((socket) => accepted.push(socket.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const clients = Array.from({ length: 150 }, () => connect(port, "127.0.0.1"));
  try {
    await Promise.all(clients.map((c) => once(c, "connect")));
    const read = new ProcReader().socketTable(process.pid, "tcp");
    if (read.kind !== "read") throw new Error(read.kind);
    const rows = new Set(parseSocketTable(read.value).map((row) => `${row.local} ${row.remote}`));
    const hex = (of: number | undefined) => `0100007F:${(of ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
    const ends = clients.flatMap((c) => [`${hex(c.localPort)} ${hex(port)}`, `${hex(port)} ${hex(c.localPort)}`]);
    expect(ends.filter((end) => !rows.has(end))).toEqual([]);
  } finally {
    for (const socket of [...clients, ...accepted]) socket.destroy();
    server.close();
    await once(server, "close");
  }
});
