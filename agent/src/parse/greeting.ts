/** What a server's first words say it speaks. Names are those of the IANA registry; empty where they say nothing known. */

/** Servers that speak first. `greeting` is latin1, so that every byte is one character. */
export function protocolOfGreeting(greeting: string, port: number): string {
  if (greeting === "") return "";
  if (greeting.startsWith("SSH-")) return "ssh";
  if (/^220[ -]/.test(greeting)) return protocolOf220(greeting, port);
  if (/^(?:120|421)[ -]/.test(greeting)) return /ftp/i.test(greeting) ? "ftp" : /smtp/i.test(greeting) ? "smtp" : "";
  if (/^\+OK\b/.test(greeting)) return "pop3";
  if (/^\* (?:OK|PREAUTH|BYE)\b/.test(greeting)) return "imap";
  if (/^20[01][ -]/.test(greeting)) return "nntp";
  if (/^RFB \d{3}\.\d{3}/.test(greeting)) return "vnc";
  if (/^@RSYNCD:/.test(greeting)) return "rsync";
  if (/^HTTP\/1\./.test(greeting)) return "http";
  if (isTelnet(greeting)) return "telnet";
  if (isMysql(greeting)) return "mysql";
  if (port === 23 && /login:/i.test(greeting)) return "telnet";
  return "";
}

/** FTP and SMTP greet alike; where the text names neither, the port decides. */
function protocolOf220(greeting: string, port: number): string {
  if (/\bE?SMTP\b|\bLMTP\b|postfix|exim|sendmail/i.test(greeting)) return "smtp";
  if (/ftp/i.test(greeting)) return "ftp";
  return smtpPorts.has(port) ? "smtp" : "ftp";
}

const smtpPorts = new Set([25, 465, 587, 2525]);

/** Option negotiation: IAC (255), then DO, DONT, WILL or WONT (251 to 254), then the option. */
function isTelnet(greeting: string): boolean {
  const command = greeting.charCodeAt(1);
  return greeting.length >= 3 && greeting.charCodeAt(0) === 255 && command >= 251 && command <= 254;
}

/** A packet with a three-byte length and sequence 0; protocol version 10, or an error (255) such as "host is not allowed". */
function isMysql(greeting: string): boolean {
  if (greeting.length < 6 || greeting.charCodeAt(3) !== 0) return false;
  const length = greeting.charCodeAt(0) | (greeting.charCodeAt(1) << 8) | (greeting.charCodeAt(2) << 16);
  const version = greeting.charCodeAt(4);
  return length > 4 && length < 1_024 && (version === 10 || version === 255) && length + 4 >= greeting.length;
}

/** The answer to an HTTP request, which other servers answer with an error of their own. */
export function protocolOfAnswer(answer: string): string {
  if (/^HTTP\/\d/.test(answer)) return "http";
  if (/^-(?:ERR|DENIED|NOAUTH)\b/.test(answer)) return "redis";
  if (/^ERROR\r\n/.test(answer)) return "memcached";
  if (/^RTSP\/1\./.test(answer)) return "rtsp";
  if (/^SSH-/.test(answer)) return "ssh";
  return "";
}

/** What the protocol's words travel in when they were heard in the clear; ssh encrypts by itself, which isn't TLS. */
export function channelOf(protocol: string): "unknown" | "cleartext" {
  return protocol === "" || protocol === "ssh" ? "unknown" : "cleartext";
}

export interface CertificateNames {
  readonly [field: string]: string | string[] | undefined;
}

/** {C, O, CN} → "CN=…, O=…, C=…", the common name first. */
export function formatName(name: CertificateNames): string {
  const fields = Object.entries(name).flatMap(([field, value]) =>
    value === undefined ? [] : [`${field}=${Array.isArray(value) ? value.join("+") : value}`],
  );
  return fields
    .sort((a, b) => Number(b.startsWith("CN=")) - Number(a.startsWith("CN=")))
    .join(", ")
    .slice(0, name_length_max);
}

const name_length_max = 512;
