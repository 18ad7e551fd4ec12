import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { chunksOf, digestOf } from "@assay/agent/inventory/chunks";
import { collectDirectories } from "@assay/agent/inventory/directories";
import { type Collectors, Inventory } from "@assay/agent/inventory/inventory";
import { collectKernel, noExecute } from "@assay/agent/inventory/kernel";
import { collectLoginDefs } from "@assay/agent/inventory/login-defs";
import { collectOs } from "@assay/agent/inventory/os";
import { collectPackages } from "@assay/agent/inventory/packages";
import { collectPasswordQuality } from "@assay/agent/inventory/password-quality";
import { remembered } from "@assay/agent/inventory/remembered";
import { collected } from "@assay/agent/inventory/section";
import { collectSshd } from "@assay/agent/inventory/sshd";
import { collectUsers } from "@assay/agent/inventory/users";
import { entryReplaceableBy, readInhabitedGroups, writableBy } from "@assay/agent/inventory/writable-by";
import { AccountNames } from "@assay/agent/read/account-names";
import { ProcReader } from "@assay/agent/read/proc";
import type { InventorySection } from "@assay/schemas/generated/types";
import { sectionNames } from "@assay/schemas/inventory";
import { until } from "../deliver/ingest-server";
import { link, temporaryFolder, write } from "../temporary";

const fixture = (name: string) => readFileSync(join(__dirname, "..", "fixtures", name), "utf8");

function host(files: Readonly<Record<string, string>>): { root: string } {
  const root = temporaryFolder();
  write(root, files);
  return { root };
}

it("os: from /etc, else /usr/lib, else what the kernel says", () => {
  const etc = { "etc/os-release": fixture("os-release-debian-12.txt") };
  expect(collectOs(host(etc))).toMatchObject({ status: "collected", content: { id: "debian", version_id: "12" } });
  const lib = { "usr/lib/os-release": fixture("os-release-ubuntu-24.04.txt") };
  expect(collectOs(host(lib)).content.id).toBe("ubuntu");
  expect(collectOs(host({}))).toMatchObject({ status: "partial", content: { id: "linux" } });
});

it("packages: from dpkg, or absent", async () => {
  const found = await collectPackages(host({ "var/lib/dpkg/status": fixture("dpkg-status.txt") }));
  expect(found).toMatchObject({ status: "collected", content: { ecosystem: "dpkg" } });
  expect(found.content.packages).toHaveLength(6);
  expect(await collectPackages(host({}))).toMatchObject({ status: "absent", content: { ecosystem: "none", packages: [] } });
});

it("is collected again only when its files have changed, or after an hour", async () => {
  const { root } = host({ "etc/x": "1", "etc/x.d/a": "1" });
  let time = 0;
  let times = 0;
  const collect = remembered(
    [join(root, "etc/x"), join(root, "etc/x.d")],
    async () => collected<"kernel">({ settings: { n: String(++times) }, sources: {} }),
    () => time,
  );
  const next = async () => (await collect()).content.settings.n;
  expect([await next(), await next()]).toEqual(["1", "1"]);
  write(root, { "etc/x.d/b": "1" });
  expect(await next()).toBe("2");
  write(root, { "etc/x": "22" });
  expect([await next(), await next()]).toEqual(["3", "3"]);
  time += 3_600_000;
  expect(await next()).toBe("4");
});

it("users: with their passwords' state, unknown where shadow is not there", () => {
  const passwd = "root:x:0:0::/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\nguest::1001:1001::/:/bin/sh\n";
  const shadow = "root:!:19000:0:99999:7:::\nann:$y$x:19000:0:90:7:::\n";
  const found = collectUsers(host({ "etc/passwd": passwd, "etc/shadow": shadow }));
  expect(found.status).toBe("collected");
  expect(found.content.users.map((u) => [u.name, u.password, u.password_max_days])).toEqual([
    ["root", "locked", 99_999],
    ["ann", "set", 90],
    ["guest", "empty", undefined],
  ]);
  expect(JSON.stringify(found.content)).not.toContain("$y$");
  expect(collectUsers(host({ "etc/passwd": passwd }))).toMatchObject({
    status: "partial",
    content: { users: [{ password: "unknown" }, { password: "unknown" }, { password: "empty" }] },
  });
});

it("login-defs: values, defaults and where they stand", () => {
  const found = collectLoginDefs(host({ "etc/login.defs": "# x\nPASS_MAX_DAYS\t90\nUMASK 027\n" }));
  expect(found.content.settings).toMatchObject({ PASS_MAX_DAYS: "90", PASS_MIN_DAYS: "-1", UMASK: "027" });
  expect(found.content.sources).toMatchObject({ PASS_MAX_DAYS: "/etc/login.defs:2", PASS_MIN_DAYS: "default" });
  expect(collectLoginDefs(host({})).status).toBe("absent");
});

describe("password-quality", () => {
  it("where nobody but pam_unix checks", () => {
    const found = collectPasswordQuality(host({ "etc/pam.d/common-password": fixture("pam-common-password-debian-12.txt") }));
    expect(found.content.settings).toEqual({ module: "none", minlen: "6", remember: "0", nullok: "no", hash: "yescrypt" });
  });

  it("PAM's arguments win over pwquality.conf, that over its folder, that over the defaults", () => {
    const found = collectPasswordQuality(
      host({
        "etc/pam.d/common-password": fixture("pam-common-password-pwquality.txt"),
        "etc/security/pwquality.conf": fixture("pwquality.conf.txt"),
        "etc/security/pwquality.conf.d/10-site.conf": "lcredit = -1\nminlen = 9\nmaxrepeat = 9\n",
      }),
    );
    expect(found.content.settings).toMatchObject({
      module: "pam_pwquality",
      minlen: "14",
      ucredit: "-1",
      dcredit: "-1",
      lcredit: "-1",
      ocredit: "0",
      maxrepeat: "3",
      enforce_for_root: "yes",
      remember: "12",
    });
    expect(found.content.sources).toMatchObject({
      minlen: "/etc/pam.d/common-password:4",
      dcredit: "/etc/security/pwquality.conf:4",
      lcredit: "/etc/security/pwquality.conf.d/10-site.conf:1",
      ocredit: "default",
    });
  });

  it("follows includes, of the Red Hat family too", () => {
    const files = {
      "etc/pam.d/system-auth": "password include password-rules\npassword sufficient pam_unix.so sha512 nullok remember=5\n",
      "etc/pam.d/password-rules": "password requisite pam_cracklib.so minlen=11\n",
    };
    expect(collectPasswordQuality(host(files)).content.settings).toMatchObject({
      module: "pam_cracklib",
      minlen: "11",
      nullok: "yes",
      remember: "5",
      hash: "sha512",
    });
  });

  it("is absent without PAM", () => {
    expect(collectPasswordQuality(host({})).status).toBe("absent");
  });
});

describe("sshd", () => {
  const files = {
    "usr/sbin/sshd": "",
    "etc/ssh/sshd_config": fixture("sshd_config-debian-12.txt"),
    "etc/ssh/sshd_config.d/50-cloud.conf": "PasswordAuthentication no\nX11Forwarding no\n",
    "etc/ssh/sshd_config.d/notes.txt": "PermitEmptyPasswords yes\n",
  };

  it("is absent where there is no program", async () => {
    expect(await collectSshd(host({ "etc/ssh/ssh_config": "" }))).toMatchObject({ status: "absent", reason: "there is no sshd" });
  });

  it("takes what sshd itself says", async () => {
    const found = await collectSshd(host(files), async () => fixture("sshd-test-output.txt"));
    expect(found).toMatchObject({
      status: "collected",
      content: { settings: { PermitRootLogin: "without-password", Protocol: "2" } },
    });
    expect(found.content.sources.PermitRootLogin).toBe("sshd -T");
  });

  it("else reads the files: the first value counts, includes in their place, Match blocks not", async () => {
    const found = await collectSshd(host(files), async () => undefined);
    expect(found.status).toBe("collected");
    expect(found.content.settings).toMatchObject({
      PermitRootLogin: "yes",
      PasswordAuthentication: "no",
      X11Forwarding: "no",
      PermitEmptyPasswords: "no",
      MaxAuthTries: "6",
      AcceptEnv: "LANG LC_*,COLORTERM",
    });
    expect(found.content.sources).toMatchObject({
      PermitRootLogin: "/etc/ssh/sshd_config:6",
      PasswordAuthentication: "/etc/ssh/sshd_config.d/50-cloud.conf:1",
      MaxAuthTries: "default",
    });
  });

  it("runs the program, and reads the files where that fails", async () => {
    const place = host(files);
    write(place.root, { "usr/sbin/sshd": "#!/bin/sh\necho 'port 2200'\necho 'permitrootlogin no'\n" });
    chmodSync(join(place.root, "usr/sbin/sshd"), 0o755);
    expect((await collectSshd(place)).content.settings).toMatchObject({ Port: "2200", PermitRootLogin: "no" });
    write(place.root, { "usr/sbin/sshd": "#!/bin/sh\nexit 1\n" });
    expect((await collectSshd(place)).content.settings.PermitRootLogin).toBe("yes");
  });
});

it("kernel: what this kernel has, by sysctl names, and the processor's flag", () => {
  const proc = new ProcReader(
    host({ "sys/kernel/randomize_va_space": "2\n", "sys/net/ipv4/conf/all/rp_filter": "1\n", cpuinfo: "flags\t\t: fpu nx lm\n" })
      .root,
  );
  expect(collectKernel(proc)).toMatchObject({
    status: "collected",
    content: { settings: { "kernel.randomize_va_space": "2", "net.ipv4.conf.all.rp_filter": "1", "cpu.nx": "yes" } },
  });
  expect(noExecute("flags\t\t: fpu lm\n")).toBe(false);
  expect(noExecute("CPU architecture: 8\nFeatures: fp asimd\n")).toBe(true);
  expect(noExecute("uarch : sifive")).toBeUndefined();
});

describe("who may write", () => {
  const nobody = new Set<number>();
  const staff = new Set([50]);
  const of = (mode: number, uid = 0, gid = 50) => ({ mode, uid, gid });
  it("world before group before owner", () => {
    expect(writableBy(of(0o40777, 7), staff)).toBe("world");
    expect(writableBy(of(0o40775, 7), staff)).toBe("group");
    expect(writableBy(of(0o40755, 7), staff)).toBe("owner");
    expect(writableBy(of(0o40755), staff)).toBe("root");
  });
  it("a group that nobody but root is in counts for nothing", () => {
    expect(writableBy(of(0o42775), nobody)).toBe("root");
  });
  it("in a sticky folder others can't touch what isn't theirs", () => {
    expect(writableBy(of(0o41777), staff)).toBe("root");
    expect(entryReplaceableBy(of(0o41777), of(0o100755), staff)).toBe("root");
    expect(entryReplaceableBy(of(0o41777), of(0o100755, 7), staff)).toBe("owner");
    expect(writableBy(of(0o101777), staff)).toBe("world"); // on a file the bit means nothing
  });
  it("groups count by their members and by the accounts whose first group they are", () => {
    const place = host({
      "etc/passwd": "root:x:0:0::/:\nann:x:1000:1000::/:\nsvc:x:33:33::/:\n",
      "etc/group": "root:x:0:\nstaff:x:50:ann\nadm:x:4:root\nempty:x:60:\n",
    });
    expect([0, 4, 33, 50, 60, 1000].filter((gid) => readInhabitedGroups(place.root).has(gid))).toEqual([33, 50, 1000]);
    expect(readInhabitedGroups(host({}).root).has(12_345)).toBe(true);
  });
});

it("directories: each once, at the place that links lead to, with root's PATH", () => {
  const place = host({
    "usr/bin/x": "",
    "opt/tools/x": "",
    "etc/passwd": "root:x:0:0::/:\n",
    "etc/group": "root:x:0:\n",
    "etc/login.defs": "ENV_SUPATH PATH=/opt/tools:/usr/bin\n",
  });
  link(place.root, "bin", "usr/bin");
  chmodSync(join(place.root, "opt/tools"), 0o777);
  const { status, content } = collectDirectories(place, new AccountNames(place.root, Date.now));
  expect(status).toBe("collected");
  const paths = content.directories.map((d) => d.path);
  expect(paths).toEqual(expect.arrayContaining(["/", "/etc", "/opt", "/opt/tools", "/usr", "/usr/bin"]));
  expect(paths).not.toContain("/bin");
  expect(new Set(paths).size).toBe(paths.length);
  expect(content.directories.find((d) => d.path === "/opt/tools")).toMatchObject({ mode: "0777", writable_by: "world" });
});

describe("sending", () => {
  it("cuts a large section, and one digest goes with all of its chunks", () => {
    const content = Buffer.alloc(25, "x");
    const heading = {
      host_id: "h",
      host_name: "h",
      incarnation: 1,
      section: "os",
      collected_at: 1,
      sent_at: 1,
      status: "collected",
      reason: "",
    } as const;
    const chunks = chunksOf(heading, content, digestOf(content), 10);
    expect(chunks.map((c) => [c.chunk, c.chunks, c.content.length, c.digest])).toEqual(
      [0, 1, 2].map((i) => [i, 3, i < 2 ? 10 : 5, digestOf(content)]),
    );
    expect(Buffer.concat(chunks.map((c) => c.content))).toEqual(content);
    expect(chunksOf(heading, Buffer.alloc(0), "d")).toHaveLength(1);
  });

  function inventory(overrides: Partial<Collectors>, now: () => number) {
    const sent: InventorySection[] = [];
    const settings = { settings: {}, sources: {} };
    const collectors: Collectors = {
      os: () => collected<"os">({ id: "x", version_id: "", pretty_name: "", kernel_release: "", architecture: "" }),
      packages: () => collected<"packages">({ ecosystem: "none", packages: [] }),
      users: () => collected<"users">({ users: [] }),
      sshd: () => collected<"sshd">(settings),
      "login-defs": () => collected<"login-defs">(settings),
      "password-quality": () => collected<"password-quality">(settings),
      kernel: () => collected<"kernel">(settings),
      directories: () => collected<"directories">({ directories: [] }),
      executables: () => collected<"executables">({ executables: [], unreadable: 0 }),
      addresses: () => collected<"addresses">({ addresses: [] }),
      ...overrides,
    };
    const running = new Inventory({
      collectors,
      send: (chunks) => sent.push(...chunks),
      host_id: "h",
      host_name: "h",
      incarnation: 1,
      inventory_wait_ms: 60_000,
      executables_wait_ms: 300_000,
      logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
      now,
    });
    return { running, sent };
  }

  it("sends all sections again, once, when fresh ones are asked for", async () => {
    let time = 1_000;
    const { running, sent } = inventory({}, () => time);
    running.start();
    await until(() => sent.length === sectionNames.length);
    sent.length = 0;
    time += 500;
    running.wantSince(1_200);
    await until(() => sent.length === sectionNames.length);
    expect(new Set(sent.map((s) => s.section))).toEqual(new Set(sectionNames));
    expect(sent.every((s) => s.collected_at === 1_500)).toBe(true);
    running.wantSince(1_100);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(sent).toHaveLength(sectionNames.length);
    await running.stop();
  });

  it("sends all sections at the start, then those that change, and all again after 12 h", async () => {
    let time = 1;
    let maximum = "90";
    let collections = 0;
    const { running, sent } = inventory(
      {
        "login-defs": () => collected<"login-defs">({ settings: { PASS_MAX_DAYS: maximum }, sources: {} }),
        addresses: () => {
          collections++;
          return collected<"addresses">({ addresses: [] });
        },
      },
      () => time,
    );
    running.start();
    await until(() => sent.length === sectionNames.length);
    expect(new Set(sent.map((s) => s.section))).toEqual(new Set(sectionNames));
    expect(sent.at(-1)?.section).toBe("executables");

    sent.length = 0;
    maximum = "365";
    time += 60_000;
    await until(() => collections === 2);
    await until(() => sent.length > 0);
    expect(sent.map((s) => [s.section, s.content.toString()])).toEqual([
      ["login-defs", '{"settings":{"PASS_MAX_DAYS":"365"},"sources":{}}'],
    ]);

    sent.length = 0;
    time += 12 * 3_600_000;
    await until(() => sent.length === sectionNames.length);
    await running.stop();
  });

  it("says which section could not be read, and goes on with the others", async () => {
    const { running, sent } = inventory(
      {
        kernel: () => {
          throw new Error("too many open files");
        },
      },
      () => 1,
    );
    running.start();
    await until(() => sent.length === sectionNames.length);
    await running.stop();
    expect(sent.find((s) => s.section === "kernel")).toMatchObject({ status: "unreadable", reason: "too many open files" });
  });
});
