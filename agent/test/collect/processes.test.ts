import { parent_descriptors_max } from "@assay/agent/collect/listening-sockets";
import { collectorsOver } from "./collectors";
import { FakeProc } from "./fake-proc";

function host() {
  const proc = new FakeProc();
  proc.run({ pid: 1, parent: 0, name: "init", args: ["/sbin/init"], image: "/usr/lib/systemd/systemd" });
  proc.run({ pid: 99, name: "node", args: ["node", "agent"], image: "/usr/bin/node" });
  proc.run({ pid: 50, name: "nginx", args: ["nginx: worker"], image: "/usr/sbin/nginx", uid: 33, sockets: [700] });
  return { proc, ...collectorsOver(proc.reader) };
}

it("tells what ran before at once, without the agent and kernel threads", async () => {
  const { proc, poll } = host();
  proc.run({ pid: 2, parent: 0, name: "kthreadd", kernel: true });
  proc.run({ pid: 100, parent: 99, name: "sshd", args: ["sshd", "-T"], image: "/usr/sbin/sshd" });
  const { processes } = await poll();
  expect(processes.map((p) => [p.pid, p.image, p.already_running, p.user])).toEqual([
    [1, "/usr/lib/systemd/systemd", true, "root"],
    [50, "/usr/sbin/nginx", true, "web"],
  ]);
});

it("tells a new process one poll later, with the time at which it was met and what its parent listens on", async () => {
  const { proc, poll } = host();
  proc.sockets("host", { tcp: [{ local: "0.0.0.0:80", state: 10, inode: 700 }] });
  await poll();
  proc.run({ pid: 60, parent: 50, name: "sh", args: ["sh", "-c", "mysql -phunter2"], image: "/bin/dash", uid: 33 });
  expect((await poll()).processes).toEqual([]);
  const { processes } = await poll();
  expect(processes).toEqual([
    {
      at: 101_000,
      pid: 60,
      parent_pid: 50,
      started_at: 600,
      already_running: false,
      image: "/bin/dash",
      image_deleted: false,
      command_line: "sh -c mysql -p[REDACTED:7]",
      current_directory: "/srv",
      user: "web",
      parent_image: "/usr/sbin/nginx",
      parent_command_line: "nginx: worker",
      parent_user: "web",
      parent_listens: [80],
      ancestors: ["nginx: worker", "/sbin/init"],
    },
  ]);
  expect((await poll()).processes).toEqual([]);
});

it("tells one that was met between fork and exec as what it became, once", async () => {
  const { proc, poll } = host();
  await poll();
  proc.run({ pid: 60, parent: 50, name: "nginx", args: ["nginx: worker"], image: "/usr/sbin/nginx", uid: 33 });
  await poll();
  proc.run({ pid: 60, parent: 50, name: "sh", args: ["sh", "-i"], image: "/bin/dash", uid: 33 });
  expect((await poll()).processes.map((p) => [p.image, p.command_line, p.parent_image])).toEqual([
    ["/bin/dash", "sh -i", "/usr/sbin/nginx"],
  ]);
  expect((await poll()).processes).toEqual([]);
});

it("tells both programs of a process that ran one and then another", async () => {
  const { proc, poll } = host();
  await poll();
  proc.run({ pid: 60, parent: 50, name: "sh", args: ["sh", "-c", "exec id"], image: "/bin/dash" });
  await poll();
  proc.run({ pid: 60, parent: 50, name: "id", args: ["id"], image: "/usr/bin/id" });
  expect((await poll()).processes.map((p) => p.image)).toEqual(["/bin/dash", "/usr/bin/id"]);
  proc.run({ pid: 60, parent: 50, name: "cat", args: ["cat"], image: "/usr/bin/cat" });
  expect((await poll()).processes.map((p) => p.image)).toEqual(["/usr/bin/cat"]);
});

it("tells one that ended before the next poll, with what was read", async () => {
  const { proc, poll } = host();
  await poll();
  proc.run({ pid: 60, parent: 50, name: "id", args: ["id"], image: "/usr/bin/id" });
  await poll();
  proc.end(60);
  expect((await poll()).processes.map((p) => [p.pid, p.image])).toEqual([[60, "/usr/bin/id"]]);
  expect((await poll()).processes).toEqual([]);
});

it("notices a number that went to another process", async () => {
  const { proc, poll } = host();
  await poll();
  proc.run({ pid: 60, ticks: 60, name: "a", args: ["a"], image: "/a" });
  await poll();
  await poll();
  proc.run({ pid: 60, ticks: 61, name: "a", args: ["b"], image: "/b" });
  await poll();
  expect((await poll()).processes.map((p) => [p.image, p.started_at])).toEqual([["/b", 610]]);
});

it("takes the first word, or the short name, where the link to the executable is missing", async () => {
  const { proc, poll } = host();
  proc.run({ pid: 60, name: "worker", args: ["/opt/app --serve now"] });
  proc.run({ pid: 61, name: "defunct", state: "Z" });
  const { processes } = await poll();
  expect(processes.filter((p) => p.pid >= 60 && p.pid < 99).map((p) => p.image)).toEqual(["/opt/app", "defunct"]);
});

it("cuts ancestors after eight, the parent first", async () => {
  const { proc, poll } = host();
  for (let pid = 200; pid < 212; pid++)
    proc.run({ pid, parent: pid === 200 ? 1 : pid - 1, name: "sh", args: ["sh", String(pid)], image: "/bin/sh" });
  const { processes } = await poll();
  expect(processes.find((p) => p.pid === 211)?.ancestors).toEqual(
    [210, 209, 208, 207, 206, 205, 204, 203].map((pid) => `sh ${pid}`),
  );
});

it("says so where processes of others are hidden", async () => {
  const { proc, poll, health } = host();
  await poll();
  expect(health.processes.take().status).toBe("ok");
  proc.end(1);
  await poll();
  expect(health.processes.take()).toMatchObject({
    status: "partial",
    missing_fields: [],
    reason: expect.stringContaining("hidepid"),
  });
});

it.each([
  [0, { status: "ok" }],
  [1, { status: "partial", missing_fields: ["ParentListensOn"], reason: expect.stringContaining("parent_descriptors_max") }],
])("tells up to the limit on what a parent listens, and with %d descriptors past it says so", async (past, state) => {
  const { proc, poll, health } = host();
  const inodes = Array.from({ length: parent_descriptors_max + past }, (_, i) => 10_000 + i);
  proc.run({ pid: 50, name: "nginx", args: ["nginx"], image: "/usr/sbin/nginx", sockets: inodes });
  const listening = inodes.map((inode, i) => ({ local: `0.0.0.0:${1_000 + i}`, state: 10, inode }));
  proc.sockets("host", { tcp: listening });
  await poll();
  health.processes.take();
  proc.run({ pid: 60, parent: 50, name: "sh", args: ["sh"], image: "/bin/dash" });
  await poll(3_000);
  const { processes } = await poll();
  expect(processes.map((p) => [p.pid, p.parent_listens.length])).toEqual([[60, parent_descriptors_max]]);
  expect(health.processes.take()).toMatchObject(state);
});
