import { network_namespaces_max } from "@assay/agent/collect/socket-snapshot";
import { collectorsOver } from "./collectors";
import { FakeProc } from "./fake-proc";

function host(options: Parameters<typeof collectorsOver>[1] = {}) {
  const proc = new FakeProc();
  proc.run({ pid: 1, parent: 0, name: "init", args: ["/sbin/init"], image: "/sbin/init" });
  proc.run({ pid: 99, name: "node", args: ["node", "agent"], image: "/usr/bin/node", sockets: [900] });
  proc.run({ pid: 50, name: "nginx", args: ["nginx"], image: "/usr/sbin/nginx", sockets: [700, 701] });
  proc.run({
    pid: 55,
    parent: 50,
    name: "nginx",
    args: ["nginx: worker"],
    image: "/usr/sbin/nginx",
    uid: 33,
    sockets: [700, 702],
  });
  return { proc, ...collectorsOver(proc.reader, options) };
}

const web = { local: "0.0.0.0:80", state: 10, inode: 700 };
const incoming = { local: "192.0.2.2:80", remote: "192.0.2.9:40000", inode: 702 };
const outgoing = { local: "192.0.2.2:41000", remote: "198.51.100.1:443", inode: 701 };

describe("connections", () => {
  it("are told with their side, ends and owner", async () => {
    const { proc, poll } = host();
    proc.sockets("host", { tcp: [web, incoming, outgoing] });
    const { connections } = await poll();
    expect(connections).toMatchObject([
      {
        side: "destination",
        source_address: "192.0.2.9",
        source_port: 40_000,
        destination_address: "192.0.2.2",
        destination_port: 80,
        pid: 55,
        user: "web",
      },
      {
        side: "source",
        source_address: "192.0.2.2",
        source_port: 41_000,
        destination_address: "198.51.100.1",
        destination_port: 443,
        pid: 50,
        user: "root",
      },
    ]);
    expect(connections[0]?.ancestors).toEqual(["nginx", "/sbin/init"]);
  });

  it("are told once, then once in each window while they are open", async () => {
    const { proc, poll } = host({ window_ms: 10_000 });
    proc.sockets("host", { tcp: [web, incoming] });
    const times: number[] = [];
    for (let i = 0; i < 60; i++) times.push(...(await poll(500)).connections.map((c) => c.at));
    expect(times).toEqual([100_500, 110_000, 120_000, 130_000]);
    proc.sockets("host", { tcp: [web] });
    for (let i = 0; i < 30; i++) expect((await poll(500)).connections).toEqual([]);
  });

  it("keep the time at which they were first seen", async () => {
    const { proc, poll } = host({ window_ms: 1_000 });
    proc.sockets("host", { tcp: [web, incoming] });
    await poll();
    expect((await poll()).connections).toMatchObject([{ at: 101_000, opened_at: 100_500 }]);
  });

  it("that the same ends open again are new", async () => {
    const { proc, poll } = host();
    proc.sockets("host", { tcp: [web, incoming] });
    await poll();
    proc.run({
      pid: 55,
      parent: 50,
      name: "nginx",
      args: ["nginx: worker"],
      image: "/usr/sbin/nginx",
      uid: 33,
      sockets: [700, 703],
    });
    proc.sockets("host", { tcp: [web, { ...incoming, inode: 703 }] });
    expect((await poll()).connections).toMatchObject([{ pid: 55, opened_at: 101_000 }]);
  });

  it("that end are not told again when they linger", async () => {
    const { proc, poll } = host({ window_ms: 1_000 });
    proc.sockets("host", { tcp: [web, incoming] });
    await poll();
    proc.sockets("host", { tcp: [web, { ...incoming, state: 6, inode: 0 }] });
    for (let i = 0; i < 5; i++) expect((await poll()).connections).toEqual([]);
  });

  it("that opened and closed between polls are told without an owner, also after their listener has gone", async () => {
    const { proc, poll } = host();
    proc.sockets("host", { tcp: [web] });
    await poll();
    proc.sockets("host", { tcp: [{ ...incoming, state: 6, inode: 0 }] });
    expect((await poll()).connections).toMatchObject([{ side: "destination", destination_port: 80, pid: 0, image: "" }]);
  });

  it("are told the right way round once their listener is seen", async () => {
    const { proc, poll } = host({ window_ms: 1_000 });
    proc.sockets("host", { tcp: [incoming] });
    expect((await poll()).connections).toMatchObject([{ side: "source", destination_port: 40_000 }]);
    proc.sockets("host", { tcp: [web, incoming] });
    expect((await poll(1_000)).connections).toMatchObject([
      { side: "destination", destination_port: 80, source_port: 40_000, pid: 55 },
    ]);
  });

  it("survive a poll that misses them", async () => {
    const { proc, poll } = host();
    proc.sockets("host", { tcp: [web, incoming] });
    await poll();
    proc.sockets("host", { tcp: [web] });
    await poll();
    proc.sockets("host", { tcp: [web, incoming] });
    expect((await poll()).connections).toEqual([]);
  });

  it("that had ended before the agent came are not told", async () => {
    const { proc, poll } = host();
    proc.sockets("host", { tcp: [web, { ...incoming, state: 6, inode: 0 }] });
    expect((await poll()).connections).toEqual([]);
    expect((await poll()).connections).toEqual([]);
  });

  it("that nobody has accepted yet get one more poll to find their owner", async () => {
    const { proc, poll } = host();
    await poll();
    proc.sockets("host", { tcp: [web, { ...incoming, inode: 0 }] });
    expect((await poll()).connections).toEqual([]);
    proc.sockets("host", { tcp: [web, incoming] });
    expect((await poll()).connections).toMatchObject([{ pid: 55 }]);
  });

  it("attempts without an answer are none", async () => {
    const { proc, poll } = host();
    proc.sockets("host", { tcp: [{ ...outgoing, state: 2 }] });
    expect((await poll()).connections).toEqual([]);
  });

  it("of the agent are left out at both ends, by their socket and by what it said that it opened", async () => {
    const { proc, poll, own } = host();
    proc.sockets("host", {
      tcp: [
        web,
        { local: "127.0.0.1:42000", remote: "127.0.0.1:80", inode: 900 },
        { local: "127.0.0.1:80", remote: "127.0.0.1:42000", inode: 702 },
        { local: "127.0.0.1:80", remote: "127.0.0.1:42001", state: 6 },
      ],
    });
    await poll();
    own.opened("127.0.0.1:42001", "127.0.0.1:80");
    proc.sockets("host", {
      tcp: [
        web,
        { local: "127.0.0.1:80", remote: "127.0.0.1:42001", state: 6 },
        { local: "127.0.0.1:80", remote: "127.0.0.1:42000", state: 6 },
      ],
    });
    expect((await poll()).connections).toEqual([]);
  });

  it("of others that use the ports of an own one are told", async () => {
    const { proc, poll, own } = host();
    own.opened("127.0.0.1:42001", "127.0.0.1:80");
    proc.sockets("host", { tcp: [web, { local: "192.0.2.2:42001", remote: "198.51.100.7:80", inode: 701 }] });
    expect((await poll()).connections).toMatchObject([{ destination_address: "198.51.100.7", destination_port: 80 }]);
  });

  it("over UDP count where the socket has a peer", async () => {
    const { proc, poll } = host();
    proc.sockets("host", {
      udp: [
        { local: "192.0.2.2:45000", remote: "192.0.2.53:53", inode: 701 },
        { local: "0.0.0.0:45001", state: 7, inode: 702 },
      ],
    });
    expect((await poll()).connections).toMatchObject([{ protocol: "udp", side: "source", destination_port: 53, pid: 50 }]);
  });

  it("in other network namespaces are seen too", async () => {
    const { proc, poll } = host();
    proc.sockets("box", { tcp: [{ local: "172.17.0.2:43000", remote: "172.17.0.1:5432", inode: 800 }] });
    proc.run({ pid: 70, name: "app", args: ["app"], image: "/app", namespace: "box", sockets: [800] });
    expect((await poll()).connections).toMatchObject([{ source_address: "172.17.0.2", destination_port: 5432, pid: 70 }]);
  });
});

describe("listeners", () => {
  it("are told with the oldest holder of their socket, once and then in each window", async () => {
    const { proc, poll } = host({ window_ms: 10_000 });
    proc.sockets("host", { tcp: [web] });
    expect((await poll()).listeners).toMatchObject([
      { protocol: "tcp", address: "0.0.0.0", port: 80, pid: 50, user: "root", channel: "unknown", tls: null },
    ]);
    expect((await poll()).listeners).toEqual([]);
    expect((await poll(10_000)).listeners).toHaveLength(1);
  });

  it("over UDP count below the ports that the kernel hands out", async () => {
    const { proc, poll } = host();
    proc.sockets("host", {
      udp: [
        { local: "0.0.0.0:53", state: 7, inode: 701 },
        { local: "0.0.0.0:45001", state: 7, inode: 702 },
      ],
    });
    expect((await poll()).listeners.map((l) => [l.protocol, l.port, l.pid])).toEqual([["udp", 53, 50]]);
  });

  it("are probed once they have settled, and told again with what was heard", async () => {
    const { proc, poll, probed, prober } = host({ heard: { application_protocol: "http", channel: "cleartext", tls: null } });
    await poll();
    proc.sockets("host", { tcp: [web], udp: [{ local: "0.0.0.0:53", state: 7, inode: 701 }] });
    await poll();
    expect(probed).toEqual([]);
    await poll(2_000);
    expect(probed).toEqual(["127.0.0.1:80"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect((await poll()).listeners).toMatchObject([{ port: 80, application_protocol: "http", channel: "cleartext" }]);
    await poll(3_600_000);
    expect(probed).toHaveLength(1);
    await prober.stop();
  });

  it("of the agent itself are left out", async () => {
    const { proc, poll } = host();
    proc.sockets("host", { tcp: [{ local: "127.0.0.1:9464", state: 10, inode: 900 }] });
    expect((await poll()).listeners).toEqual([]);
  });
});

describe("network namespaces", () => {
  /** As many besides the host's, each with a listener of its own. */
  function inNamespaces(count: number) {
    const given = host();
    for (let i = 0; i < count; i++) {
      const namespace = `container-${i}`;
      given.proc.run({ pid: 1_000 + i, name: "app", args: ["app"], image: "/app", namespace, sockets: [5_000 + i] });
      given.proc.sockets(namespace, { tcp: [{ local: `10.0.0.1:${1_000 + i}`, state: 10, inode: 5_000 + i }] });
    }
    given.proc.sockets("host", { tcp: [web] });
    return given;
  }

  it("are read up to the limit, the agent's own first, and coverage is whole", async () => {
    const { poll, health } = inNamespaces(network_namespaces_max - 1);
    expect((await poll()).listeners).toHaveLength(network_namespaces_max);
    expect([health.connections.take().status, health.listeners.take().status]).toEqual(["ok", "ok"]);
  });

  it("past the limit are left out, the same ones each time, and coverage says so", async () => {
    const { poll, health } = inNamespaces(network_namespaces_max + 2);
    const ports = (await poll()).listeners.map((l) => l.port);
    expect(ports).toHaveLength(network_namespaces_max);
    expect(ports).toContain(80);
    const partial = {
      status: "partial",
      missing_fields: [],
      reason: expect.stringContaining("more than 256 network namespaces"),
    };
    expect([health.connections.take(), health.listeners.take()]).toMatchObject([partial, partial]);
    expect((await poll(10_000)).listeners.map((l) => l.port)).toEqual(ports);
  });
});
