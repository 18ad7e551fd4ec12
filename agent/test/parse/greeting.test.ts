import { channelOf, formatName, protocolOfAnswer, protocolOfGreeting } from "@assay/agent/parse/greeting";

describe("greetings", () => {
  const mysql = Buffer.concat([Buffer.from([0x4a, 0, 0, 0, 10]), Buffer.from("8.0.36\0"), Buffer.alloc(66)]).toString("latin1");
  const cases: readonly (readonly [string, number, string])[] = [
    ["SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", 22, "ssh"],
    ["220 (vsFTPd 3.0.3)\r\n", 21, "ftp"],
    ["220 ProFTPD Server ready.\r\n", 2121, "ftp"],
    ["220 mail.example ESMTP Postfix (Debian/GNU)\r\n", 25, "smtp"],
    ["220 Welcome\r\n", 25, "smtp"],
    ["220 Welcome\r\n", 2121, "ftp"],
    ["220-FileZilla Server 1.8\r\n", 21, "ftp"],
    ["+OK Dovecot ready.\r\n", 110, "pop3"],
    ["* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n", 143, "imap"],
    ["\xff\xfd\x18\xff\xfd\x20", 23, "telnet"],
    ["debian login: ", 23, "telnet"],
    [mysql, 3306, "mysql"],
    ["RFB 003.008\n", 5900, "vnc"],
    ["@RSYNCD: 31.0\n", 873, "rsync"],
    ["hello\n", 9999, ""],
    ["\xff\xff", 9999, ""],
    ["", 9999, ""],
  ];
  it.each(cases)("%j at %d: %s", (text, port, protocol) => {
    expect(protocolOfGreeting(text, port)).toBe(protocol);
  });
});

it("knows servers by how they answer an HTTP request", () => {
  expect(protocolOfAnswer("HTTP/1.0 501 Unsupported method\r\n")).toBe("http");
  expect(protocolOfAnswer("-ERR unknown command 'OPTIONS'\r\n")).toBe("redis");
  expect(protocolOfAnswer("ERROR\r\n")).toBe("memcached");
  expect(protocolOfAnswer("what?")).toBe("");
});

it("calls no channel cleartext that isn't known to be", () => {
  expect(channelOf("telnet")).toBe("cleartext");
  expect(channelOf("ssh")).toBe("unknown");
  expect(channelOf("")).toBe("unknown");
});

it("writes names with the common name first, cut where they are long", () => {
  expect(formatName({ C: "DE", O: "Test", OU: ["a", "b"], CN: "demo.example" })).toBe("CN=demo.example, C=DE, O=Test, OU=a+b");
  expect(formatName({ CN: "x".repeat(10_000) }).length).toBe(512);
});
