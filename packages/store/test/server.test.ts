/** Against a server of ours that answers as others would: none of these can be had here. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { connectStore, type Store } from "../src/client";
import { migrate } from "../src/migrate";
import { requireLayout, requireVersion } from "../src/server";

interface Table {
  readonly column: string;
  readonly type: string;
  readonly values: readonly (string | number)[];
}

let server: Server;
let store: Store;
let asked: string[];
let answer: (sql: string) => Table;

beforeEach(async () => {
  asked = [];
  server = createServer(async (request, response) => {
    let sql = "";
    for await (const chunk of request) sql += String(chunk);
    asked.push(sql);
    const { column, type, values } = answer(sql);
    response.end(JSON.stringify({ meta: [{ name: column, type }], data: values.map((value) => [value]) }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  store = connectStore({ url: urlOf(server), username: "u", password: "p", retry_wait_ms: 300 });
});
afterEach(async () => {
  await store.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe("requireVersion", () => {
  it.each(["24.8.1.2684", "24.10.1.1", "25.1.1.1", "26.7.2.1"])("takes %s", async (version) => {
    answer = () => ({ column: "version", type: "String", values: [version] });
    await expect(requireVersion(store)).resolves.toBeUndefined();
  });

  it.each(["24.7.6.8", "23.12.1.1", "18.16.1"])("refuses %s, before anything is changed", async (version) => {
    answer = () => ({ column: "version", type: "String", values: [version] });
    await expect(migrate(store)).rejects.toThrow(
      `has version ${version}; the oldest that drops repeated blocks behind views is 24.8`,
    );
    expect(asked.map((sql) => sql.split("\n")[0]?.trim())).toEqual(["SELECT version() AS version"]);
  });
});

describe("requireLayout", () => {
  it.each<readonly [string, string | undefined, string | undefined, number, string | undefined]>([
    ["takes an empty server without a cluster", undefined, undefined, 0, undefined],
    ["takes an empty cluster of one shard", undefined, "c", 1, undefined],
    ["takes a cluster's own tables", "ReplicatedReplacingMergeTree", "c", 1, undefined],
    [
      "refuses to forget the cluster",
      "ReplicatedReplacingMergeTree",
      undefined,
      1,
      "are replicated: name their cluster (ASSAY_CLICKHOUSE_CLUSTER)",
    ],
    ["refuses a cluster for plain tables", "ReplacingMergeTree", "c", 1, "are those of one server, not of the cluster c"],
    ["refuses shards", undefined, "c", 3, "the cluster c has 3 shards (ASSAY_CLICKHOUSE_CLUSTER)"],
    ["refuses an unknown cluster", undefined, "c", 0, "knows no cluster c (ASSAY_CLICKHOUSE_CLUSTER); it knows: a, b"],
  ])("%s", async (_name, engine, cluster, shards, refusal) => {
    answer = (sql) => {
      if (sql.includes("system.tables"))
        return { column: "engine", type: "String", values: engine === undefined ? [] : [engine] };
      if (sql.includes("DISTINCT")) return { column: "cluster", type: "String", values: ["a", "b"] };
      return { column: "shards", type: "UInt64", values: [shards] };
    };
    const checked = requireLayout(store, cluster);
    if (refusal === undefined) await expect(checked).resolves.toBeUndefined();
    else await expect(checked).rejects.toThrow(refusal);
  });
});

it("asks for as many replicas as it was told to, and for none otherwise", async () => {
  const asked_for = async (insert_quorum: "auto" | number | undefined): Promise<(string | null)[]> => {
    const options = insert_quorum === undefined ? {} : { insert_quorum };
    const asking = connectStore({ url: urlOf(server), username: "u", password: "p", ...options });
    let url = "";
    server.once("request", (request) => {
      url = request.url ?? "";
    });
    await asking.insertBlock({ table: "assay.t", columns: ["a"], rows: [[1]], token: "t" });
    await asking.close();
    const settings = new URL(url, urlOf(server)).searchParams;
    return [settings.get("insert_quorum"), settings.get("insert_quorum_timeout"), settings.get("insert_deduplication_token")];
  };
  answer = () => ({ column: "nothing", type: "String", values: [] });
  expect(await asked_for("auto")).toEqual(["auto", "90000", "t"]);
  expect(await asked_for(2)).toEqual(["2", "90000", "t"]);
  expect(await asked_for(undefined)).toEqual([null, null, "t"]);
});

it("says which server is away, and for how long it was tried", async () => {
  const url = urlOf(server);
  await new Promise((resolve) => server.close(resolve));
  const away = connectStore({ url: url, username: "u", password: "p", retry_wait_ms: 300 });
  const error = await migrate(away).catch((reason: Error) => reason);
  await away.close();
  expect(String(error)).toMatch(
    new RegExp(`ClickHouse at ${url} did not take the request in \\d+ attempts within 300 ms: .*ECONNREFUSED`),
  );
});

it.each(["http://user:secret@h:8123", "http://h:8123/assay", "http://h:8123/?database=assay", "tcp://h:9000", "h:8123", "h"])(
  "refuses the URL %s without repeating a password",
  (url) => {
    const connecting = () => connectStore({ url, username: "u", password: "p" });
    expect(connecting).toThrow("(ASSAY_CLICKHOUSE_URL)");
    expect(connecting).not.toThrow("secret");
  },
);

function urlOf(listening: Server): string {
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
}
