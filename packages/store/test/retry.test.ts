import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { connectStore, type Store } from "../src/client";
import { StoreFullError } from "../src/retry";

interface Answer {
  readonly status: number;
  readonly body: string;
}

const overloaded: Answer = { status: 500, body: "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)" };
const noSpace: Answer = { status: 500, body: "Code: 243. DB::Exception: Cannot reserve 1.00 MiB. (NOT_ENOUGH_SPACE)" };
const refused: Answer = { status: 500, body: "Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)" };
const proxy: Answer = { status: 503, body: "503 Service Unavailable" };
const busy: Answer = { status: 500, body: "Code: 202. DB::Exception: Too many. (TOO_MANY_SIMULTANEOUS_QUERIES)" };
const done: Answer = { status: 200, body: "" };
const hang_up = "hang up";

let server: Server;
let store: Store;
let answers: (Answer | typeof hang_up)[];
let bodies: string[];

beforeEach(async () => {
  answers = [];
  bodies = [];
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    bodies.push(body);
    const answer = answers.shift() ?? done;
    if (answer === hang_up) request.socket.destroy();
    else response.writeHead(answer.status, { connection: "close" }).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  store = connectStore({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    username: "u",
    password: "p",
    retry_wait_ms: 500,
  });
});
afterEach(async () => {
  await store.close();
  await new Promise((resolve) => server.close(resolve));
});

const block = { table: "assay.t", columns: ["x"], rows: [[1], [2]], token: "t" };

describe("insertBlock", () => {
  it("sends the very same block again after failures that pass", async () => {
    answers = [overloaded, proxy, hang_up];
    await store.insertBlock(block);
    expect(bodies).toEqual(["[1]\n[2]\n", "[1]\n[2]\n", "[1]\n[2]\n", "[1]\n[2]\n"]);
  });

  it("fails at once where the server refuses", async () => {
    answers = [refused];
    await expect(store.insertBlock(block)).rejects.toThrow("Not enough privileges");
    expect(bodies.length).toBe(1);
  });

  it("gives up after its time, and says how often it tried", async () => {
    answers = Array.from({ length: 100 }, () => overloaded);
    await expect(store.insertBlock(block)).rejects.toThrow(
      /ClickHouse at http:\/\/127.0.0.1:\d+ did not take the request in \d attempts within 500 ms: Memory limit exceeded/,
    );
    expect(bodies.length).toBeGreaterThan(2);
  });

  it("tells a full disk from other failures", async () => {
    answers = Array.from({ length: 100 }, () => noSpace);
    await expect(store.insertBlock(block)).rejects.toBeInstanceOf(StoreFullError);
    answers = Array.from({ length: 100 }, () => overloaded);
    await expect(store.insertBlock(block)).rejects.not.toBeInstanceOf(StoreFullError);
  });

  it("does nothing for no rows", async () => {
    await store.insertBlock({ ...block, rows: [] });
    expect(bodies).toEqual([]);
  });

  it("refuses more rows than its limit before it sends any", async () => {
    const rows = Array.from({ length: 100_001 }, () => [1]);
    await expect(store.insertBlock({ ...block, rows })).rejects.toThrow(
      "block of 100001 rows for assay.t; the limit is 100000 (block_rows_max)",
    );
    expect(bodies).toEqual([]);
  });
});

describe("command", () => {
  it("is sent again only where it can't have been executed", async () => {
    answers = [busy];
    await store.command("DROP TABLE assay.t");
    expect(bodies.length).toBe(2);
    for (const answer of [hang_up, overloaded] as const) {
      answers = [answer];
      await expect(store.command("DROP TABLE assay.t")).rejects.toThrow();
    }
    expect(bodies.length).toBe(4);
  });
});

it("waits for a server that isn't there", async () => {
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const inserted = store.insertBlock(block);
  await new Promise((resolve) => setTimeout(resolve, 150));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  await inserted;
  expect(bodies.length).toBe(1);
});
