import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseGroup, parsePasswd, parseShadow } from "@assay/agent/parse/accounts";
import { parseDpkgStatus } from "@assay/agent/parse/dpkg-status";
import { parseOsRelease } from "@assay/agent/parse/os-release";
import { parseLoginDefs, parsePamPassword, parsePwquality } from "@assay/agent/parse/settings-files";
import { parseSshdConfig, parseSshdTest } from "@assay/agent/parse/sshd-config";

const fixture = (name: string) => readFileSync(join(__dirname, "..", "fixtures", name), "utf8");

it("reads os-release of Debian and Ubuntu", () => {
  expect(parseOsRelease(fixture("os-release-debian-12.txt"))).toMatchObject({ ID: "debian", VERSION_ID: "12" });
  expect(parseOsRelease(fixture("os-release-ubuntu-24.04.txt"))).toMatchObject({
    ID: "ubuntu",
    PRETTY_NAME: "Ubuntu 24.04.1 LTS",
  });
  expect(parseOsRelease(`NAME='a b'\nX="say \\"hi\\" \\$x"\n# no\nbad line`)).toEqual({ NAME: "a b", X: 'say "hi" $x' });
});

it("lists installed packages with their sources", () => {
  const found = [...parseDpkgStatus(fixture("dpkg-status.txt"))].flatMap((p) => (p ? [p] : []));
  expect(found.map((p) => p.name)).toEqual(["adduser", "bash", "bc", "bsdutils", "libc6", "linux-image-6.1.0-22-amd64"]);
  expect(found.find((p) => p.name === "bash")).toMatchObject({ source: "bash", source_version: "5.2.15-2" });
  expect(found.find((p) => p.name === "bsdutils")).toMatchObject({ source: "util-linux", source_version: "2.38.1-5+deb12u3" });
  expect(found.find((p) => p.name === "libc6")).toMatchObject({ source: "glibc", architecture: "amd64" });
  expect(found.find((p) => p.name === "adduser")).toMatchObject({ source: "adduser", source_version: "3.134", version: "3.134" });
});

it("reads login.defs without its comments", () => {
  const found = parseLoginDefs(fixture("login.defs.txt"));
  expect(found.find((a) => a.name === "PASS_MAX_DAYS")).toMatchObject({ value: "99999", line: expect.any(Number) });
  expect(parseLoginDefs("PASS_MAX_DAYS 90 # quarterly\n#PASS_MIN_DAYS 1\n")).toEqual([
    { name: "PASS_MAX_DAYS", value: "90", line: 1 },
  ]);
});

it("reads pwquality.conf with its switches", () => {
  expect(parsePwquality(fixture("pwquality.conf.txt")).map((a) => [a.name, a.value])).toEqual([
    ["minlen", "10"],
    ["dcredit", "-1"],
    ["enforce_for_root", ""],
    ["maxrepeat", "3"],
  ]);
});

it("reads PAM's password lines, bracketed controls and includes among them", () => {
  expect(parsePamPassword(fixture("pam-common-password-debian-12.txt"))).toContainEqual(
    expect.objectContaining({ module: "pam_unix", args: ["obscure", "yescrypt"] }),
  );
  expect(
    parsePamPassword("@include common-password\n-password substack system-auth\nauth required pam_unix.so nullok\n"),
  ).toEqual([
    { kind: "include", file: "common-password", line: 1 },
    { kind: "include", file: "system-auth", line: 2 },
  ]);
});

it("reads sshd_config up to the first Match block", () => {
  const { lines, hasMatch } = parseSshdConfig(fixture("sshd_config-debian-12.txt"));
  expect(hasMatch).toBe(true);
  expect(lines[0]).toMatchObject({ keyword: "Include", value: "/etc/ssh/sshd_config.d/*.conf" });
  expect(lines.find((l) => l.keyword === "Banner")?.value).toBe("/etc/issue.net");
  expect(lines.some((l) => l.keyword === "ForceCommand")).toBe(false);
});

it("reads what sshd -T prints, in the manual's spelling", () => {
  expect(parseSshdTest(fixture("sshd-test-output.txt"))).toMatchObject({
    Port: "22,2222",
    PermitRootLogin: "without-password",
    PasswordAuthentication: "yes",
    HostKey: "/etc/ssh/ssh_host_rsa_key,/etc/ssh/ssh_host_ed25519_key",
    X11Forwarding: "yes",
    UseDNS: "no",
    somethingnew: "on",
  });
});

it("reads accounts, and of shadow only whether there is a password", () => {
  expect(parsePasswd("root:x:0:0:root:/root:/bin/bash\n# no\nbad:x:1\n+::::::\nsvc::33:33::/srv:\n")).toEqual([
    { name: "root", password: "x", uid: 0, gid: 0, home: "/root", shell: "/bin/bash" },
    { name: "svc", password: "", uid: 33, gid: 33, home: "/srv", shell: "" },
  ]);
  expect(parseGroup("staff:x:50:ann,bob\nempty:x:51:\n")).toEqual([
    { name: "staff", gid: 50, members: ["ann", "bob"] },
    { name: "empty", gid: 51, members: [] },
  ]);
  const shadow = parseShadow("root:*:19000:0:99999:7:::\nann:$y$j9T$x$y:19000:0:90:7:::\nbob::19000::::::\neve:!$6$x:1:0::::\n");
  expect(Object.fromEntries(shadow)).toEqual({
    root: { password: "locked", max_days: 99999 },
    ann: { password: "set", max_days: 90 },
    bob: { password: "empty", max_days: undefined },
    eve: { password: "locked", max_days: undefined },
  });
});
