import type { ApplicationPartial, ApplicationWindow, HostFlow, HostListener } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { LogRecord, NewRecord } from "@assay/stream/log";
import fc from "fast-check";
import { joinFlows } from "../src/applications/join-flows";
import { mergePartials, mergeState, reducePartial } from "../src/applications/merge";
import { networkScope } from "../src/applications/network-scope";
import { batch, checkpointed, codec, connectionEvent, everything, listenerEvent, Partition } from "./given";

const settings = { window_ms: 10_000, lateness_ms: 0 };

function partialsOf(outputs: readonly NewRecord[]): ApplicationPartial[] {
  return outputs.flatMap((o) => {
    const decoded = o.topic === topics.applicationPartials.name && o.value ? codec.decode(o.value) : undefined;
    return decoded?.name === "ApplicationPartial" ? [decoded.value] : [];
  });
}

const hostFlow = (fields: Partial<HostFlow>): HostFlow => ({
  host_id: "web",
  protocol: "tcp",
  side: "source",
  source_address: "10.0.0.1",
  destination_address: "10.0.0.2",
  destination_port: 5432,
  pid: 1,
  image: "/usr/bin/app",
  command_line: "app",
  user: "app",
  ancestors: [],
  count: 1,
  first: 1,
  last: 2,
  ...fields,
});
const applicationHost = (host_id: string, tier: string) => ({
  host_id,
  host_name: `${host_id}.example`,
  tiers: [tier],
  covered_from: 0,
  covered_to: 10_000,
  connections_status: "ok" as const,
  connections_reason: "",
  missing_fields: [],
  late_parts: 0,
});
const postgres: HostListener = {
  host_id: "db",
  protocol: "tcp",
  address: "0.0.0.0",
  port: 5432,
  image: "/usr/bin/postgres",
  command_line: "postgres",
  user: "postgres",
  application_protocol: "postgresql",
  channel: "cleartext",
  tls_version: "",
};
const topology = (flows: HostFlow[], listeners: HostListener[] = [postgres]) => ({
  hosts: new Map([applicationHost("web", "web"), applicationHost("db", "data")].map((h) => [h.host_id, h])),
  flows,
  listeners,
  hostOfAddress: new Map([
    ["10.0.0.1", "web"],
    ["10.0.0.2", "db"],
  ]),
});

describe("joining flows", () => {
  test("both ends of a connection become one flow with both counts, the larger reported, and the listener's channel", () => {
    const ends = [
      hostFlow({ count: 3 }),
      hostFlow({ host_id: "db", side: "destination", image: "/usr/bin/postgres", count: 4, last: 9 }),
    ];
    expect(joinFlows(topology(ends))).toMatchObject([
      {
        source: { host_id: "web", tier: "web", image: "/usr/bin/app", scope: "private" },
        destination: { host_id: "db", tier: "data", image: "/usr/bin/postgres" },
        channel: "cleartext",
        application_protocol: "postgresql",
        count_source: 3,
        count_destination: 4,
        count: 4,
        first: 1,
        last: 9,
      },
    ]);
  });

  test("an end without an agent is outside, and still has its address", () => {
    const [flow] = joinFlows(topology([hostFlow({ destination_address: "203.0.113.9", destination_port: 443 })]));
    expect(flow?.destination).toMatchObject({ host_id: "", host_name: "", address: "203.0.113.9", scope: "public" });
    const [inbound] = joinFlows(topology([hostFlow({ host_id: "db", side: "destination", source_address: "198.51.100.7" })]));
    expect(inbound?.source).toMatchObject({ host_id: "", address: "198.51.100.7", image: "" });
  });

  test("loopback never joins across hosts", () => {
    const loop = { source_address: "127.0.0.1", destination_address: "127.0.0.1" };
    const flows = joinFlows(topology([hostFlow(loop), hostFlow({ ...loop, host_id: "db", side: "destination" })]));
    expect(flows.map((f) => [f.source.host_id, f.destination.host_id])).toEqual([
      ["web", "web"],
      ["db", "db"],
    ]);
  });

  test("two processes of one host keep their own counts, and what only the other end saw stands apart", () => {
    const flows = joinFlows(
      topology([
        hostFlow({ count: 2 }),
        hostFlow({ image: "/usr/bin/cron", count: 1 }),
        hostFlow({ host_id: "db", side: "destination", count: 5 }),
      ]),
    );
    expect(flows.map((f) => [f.source.image, f.count])).toEqual([
      ["/usr/bin/app", 2],
      ["/usr/bin/cron", 1],
      ["", 2],
    ]);
  });
});

test.each([
  ["127.0.0.1", "loopback"],
  ["::1", "loopback"],
  ["::ffff:127.0.0.1", "loopback"],
  ["169.254.169.254", "link_local"],
  ["fe80::1%eth0", "link_local"],
  ["172.17.0.2", "container"],
  ["10.1.2.3", "private"],
  ["192.168.1.1", "private"],
  ["fd00::1", "private"],
  ["100.64.0.1", "private"],
  ["8.8.8.8", "public"],
  ["2001:4860:4860::8888", "public"],
])("%s is %s", (address, scope) => expect(networkScope(address)).toBe(scope));

describe("contributions", () => {
  test("a partial goes out when every live host has closed the window, and again when a late part changes it", () => {
    const partition = new Partition(settings);
    const connections = (at: number) => [connectionEvent(at)];
    const tell = (host_id: string, seq: number, through: number, at?: number) =>
      partition.tell(
        batch({
          host_id,
          seq,
          complete_through: through,
          sent_at: through,
          connections: at === undefined ? [] : connections(at),
        }),
      );
    tell("h1", 1, 9_000, 1_000);
    tell("h2", 1, 9_000, 2_000);
    tell("h1", 2, 10_000);
    expect(partialsOf(partition.outputs)).toMatchObject([{ window_start: 0, hosts: [{ host_id: "h1" }] }]);
    tell("h2", 2, 10_000);
    tell("h1", 3, 10_500, 5_000);
    const [, second, third] = partialsOf(partition.outputs);
    expect(second?.hosts.map((h) => h.host_id)).toEqual(["h1", "h2"]);
    expect(third?.flows).toHaveLength(3);
    expect(third?.hosts[0]).toMatchObject({ host_id: "h1", late_parts: 1 });
    const revisions = partialsOf(partition.outputs).map((p) => p.revision);
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  });

  test("a host that leaves the application no longer holds its windows back, also where a late part tells of it", () => {
    const partition = new Partition(settings, undefined, (host, begins_at, ends_at) => ({
      ...everything(host, begins_at, ends_at),
      ...(host.host_id === "h2" && begins_at >= 10_000 ? { applications: [], assessments: [] } : {}),
    }));
    const tell = (host_id: string, seq: number, through: number, late_at?: number) => {
      const connections = late_at === undefined ? [] : [connectionEvent(late_at)];
      partition.tell(batch({ host_id, seq, complete_through: through, sent_at: through, connections }));
    };
    tell("h1", 1, 10_000);
    tell("h2", 1, 10_000);
    tell("h2", 2, 20_000);
    tell("h2", 3, 25_000, 5_000);
    tell("h1", 2, 40_000);
    const starts = partialsOf(partition.outputs).map((p) => p.window_start);
    expect(starts).toEqual([0, 0, 0, 10_000, 20_000, 30_000]);
  });

  test("hosts and applications may be called what JavaScript's objects know, across a checkpoint too", () => {
    const named = (host: Parameters<typeof everything>[0], begins_at: number, ends_at: number) => ({
      ...everything(host, begins_at, ends_at),
      applications: [{ application_id: "constructor", version: 1, tiers: [] }],
    });
    const partition = new Partition(settings, undefined, named);
    const tell = (seq: number, through: number) => {
      partition.tell(
        batch({
          host_id: "constructor",
          seq,
          complete_through: through,
          sent_at: through,
          connections: [connectionEvent(1_000)],
        }),
      );
    };
    tell(1, 10_000);
    partition.restart();
    tell(2, 20_000);
    const partials = partialsOf(partition.outputs).map((p) => [p.window_start, p.hosts.map((h) => [h.host_id, h.late_parts])]);
    expect(partials).toEqual([
      [0, [["constructor", 0]]],
      [0, [["constructor", 1]]],
      [10_000, [["constructor", 0]]],
    ]);
  });

  test("more flows than fit in a record of the log are cut, in the partial and in the window, and counted", () => {
    const partition = new Partition(settings);
    const connections = (host: number) =>
      Array.from({ length: 900 }, (_, n) =>
        connectionEvent(n, { source_address: `10.0.0.${host}`, destination_port: n + 1, command_line: "x".repeat(800) }),
      );
    for (const n of [1, 2])
      partition.tell(batch({ host_id: `h${n}`, seq: 1, connections: connections(n), complete_through: 9_000, sent_at: 9_000 }));
    for (const n of [1, 2]) partition.tell(batch({ host_id: `h${n}`, seq: 2, complete_through: 10_000, sent_at: 10_000 }));
    const partials = partition.outputs.filter((o) => o.topic === topics.applicationPartials.name);
    const state = mergeState.empty(0);
    const merged: NewRecord[] = [];
    for (const [offset, { topic, value }] of partials.entries()) {
      reducePartial(state, { topic, partition: 0, offset, key: null, value, timestamp: 1 }, merged, codec);
    }
    for (const { value } of [...partials, ...merged]) expect(value?.length).toBeLessThan(1_048_576);
    const last = partialsOf(partition.outputs).at(-1);
    expect((last?.flows.length ?? 0) + (last?.cut ?? 0)).toBe(1_800);
    expect(last?.flows.length).toBeGreaterThan(800);
    const window = codec.decode(merged.at(-1)?.value ?? Buffer.alloc(0));
    expect(window.name === "ApplicationWindow" && window.value.flows.length + window.value.cut).toBe(1_800);
  });

  test("listeners and addresses of the hosts come along", () => {
    const partition = new Partition(settings);
    partition.tell(
      batch({
        seq: 1,
        listeners: [listenerEvent(1)],
        connections: [connectionEvent(2)],
        complete_through: 10_000,
        sent_at: 10_000,
      }),
    );
    expect(partialsOf(partition.outputs)).toMatchObject([
      { listeners: [{ host_id: "h1", port: 5432 }], addresses: { h1: ["10.0.0.1"] } },
    ]);
  });
});

describe("merging partials", () => {
  const partial = (
    contributor: number,
    revision: number,
    window_start: number,
    watermark: number,
    count: number,
  ): ApplicationPartial => ({
    application_id: "app",
    application_version: 1,
    window_start,
    window_end: window_start + 10_000,
    contributor,
    revision,
    watermark,
    hosts: [applicationHost(`h${contributor}`, "web")],
    flows: [hostFlow({ host_id: `h${contributor}`, source_address: `10.0.1.${contributor}`, count })],
    listeners: [],
    addresses: {},
    cut: 0,
  });
  const feed = (partials: readonly ApplicationPartial[], restarting = false): ApplicationWindow[] => {
    let state = mergeState.empty(0);
    const checkpoint: unknown[] = new Array<unknown>(mergeState.buckets).fill(undefined);
    const outputs: NewRecord[] = [];
    partials.forEach((p, offset) => {
      const record: LogRecord = {
        topic: topics.applicationPartials.name,
        partition: 0,
        offset,
        key: null,
        value: codec.encode("ApplicationPartial", p),
        timestamp: 1,
      };
      reducePartial(state, record, outputs, codec);
      if (restarting) state = checkpointed(mergeState, state, checkpoint);
    });
    return outputs.flatMap((o) => {
      const decoded = o.value ? codec.decode(o.value) : undefined;
      return decoded?.name === "ApplicationWindow" ? [decoded.value] : [];
    });
  };

  test("a window waits for every live contributor, and a newer revision replaces the older", () => {
    const windows = feed([
      partial(0, 1, 0, 5_000, 1),
      partial(1, 1, 0, 10_000, 1),
      partial(0, 2, 0, 10_000, 7),
      partial(0, 2, 0, 10_000, 7),
      partial(1, 5, 0, 20_000, 9),
    ]);
    expect(windows.map((w) => [w.revision, w.late, w.flows.map((f) => f.count)])).toEqual([
      [3, false, [7, 1]],
      [5, true, [7, 9]],
    ]);
  });

  test("restarts between any two partials change nothing, also when old windows have been let go", () => {
    const partials = Array.from({ length: 200 }, (_, i) =>
      partial(i % 2, i + 1, Math.floor(i / 2) * 10_000, Math.floor(i / 2) * 10_000 + 10_000, i),
    );
    expect(feed(partials, true)).toEqual(feed(partials));
    // One each, and the first twice: its second contributor wasn't known of when it went out.
    expect(feed(partials)).toHaveLength(101);
  });

  test("any order and any repetition of partials ends in the same topology", () => {
    const partials = [0, 1, 2].flatMap((c) => [1, 2, 3].map((r) => partial(c, r, 0, 10_000, c * 10 + r)));
    const newest = [partials[2], partials[5], partials[8]].flatMap((p) => p ?? []);
    const expected = mergePartials(newest, 0, false).flows;
    fc.assert(
      fc.property(fc.shuffledSubarray(partials, { minLength: 9 }), fc.array(fc.constantFrom(...partials)), (order, repeats) => {
        expect(feed([...order, ...repeats]).at(-1)?.flows).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });
});
