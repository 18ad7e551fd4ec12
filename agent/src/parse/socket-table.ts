/** /proc/net/tcp, tcp6, udp and udp6. Rows keep the kernel's hexadecimal endpoints, so that a poll makes text only of new sockets. */

export interface SocketRow {
  /** Hexadecimal address:port. */
  readonly local: string;
  readonly remote: string;
  readonly state: number;
  readonly uid: number;
  /** 0 where no process holds it: TIME_WAIT, or not yet accepted. */
  readonly inode: number;
}

/** include/net/tcp_states.h; an unconnected UDP socket is in state close. */
export const socketStates = {
  established: 1,
  syn_sent: 2,
  syn_received: 3,
  time_wait: 6,
  close: 7,
  listen: 10,
  new_syn_received: 12,
} as const;

export function parseSocketTable(text: string): SocketRow[] {
  const rows: SocketRow[] = [];
  let start = text.indexOf("\n") + 1; // after the heading
  while (start > 0 && start < text.length) {
    let end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    const row = parseRow(text.slice(start, end));
    if (row) rows.push(row);
    start = end + 1;
  }
  return rows;
}

function parseRow(line: string): SocketRow | undefined {
  const fields = line.trim().split(/ +/);
  const [, local, remote, state, , , , uid, , inode] = fields;
  if (local === undefined || remote === undefined || state === undefined || uid === undefined || inode === undefined)
    return undefined;
  return { local, remote, state: Number.parseInt(state, 16), uid: Number(uid), inode: Number(inode) };
}

/** "TCP6: inuse 3" of /proc/net/sockstat6. */
export function parseTcp6InUse(sockstat6: string): number | undefined {
  const match = /^TCP6: inuse (\d+)/m.exec(sockstat6);
  return match ? Number(match[1]) : undefined;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Each 32-bit word stands in the machine's byte order: little-endian on all that Node supports but s390x. */
export function parseEndpoint(hex: string, littleEndian = true): Endpoint {
  const colon = hex.indexOf(":");
  const bytes = addressBytes(hex.slice(0, colon), littleEndian);
  return { address: formatAddress(bytes), port: Number.parseInt(hex.slice(colon + 1), 16) };
}

/** Whether the endpoint is 0.0.0.0:0 or [::]:0, which a socket without a peer has. */
export function isNobody(hex: string): boolean {
  return /^0+:0+$/.test(hex);
}

function addressBytes(hex: string, littleEndian: boolean): number[] {
  const bytes: number[] = [];
  for (let word = 0; word < hex.length; word += 8) {
    const four = [0, 2, 4, 6].map((i) => Number.parseInt(hex.slice(word + i, word + i + 2), 16));
    bytes.push(...(littleEndian ? four.reverse() : four));
  }
  return bytes;
}

function formatAddress(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join(".");
  const mapped = bytes.slice(0, 10).every((b) => b === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (mapped) return bytes.slice(12).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  return formatIpv6(groups);
}

/** RFC 5952: the longest run of two or more zero groups becomes "::", the first of equals. */
function formatIpv6(groups: readonly number[]): string {
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < groups.length; i++) {
    let length = 0;
    while (groups[i + length] === 0) length++;
    if (length > bestLength) [bestStart, bestLength] = [i, length];
  }
  const text = (part: readonly number[]) => part.map((g) => g.toString(16)).join(":");
  if (bestStart < 0) return text(groups);
  return `${text(groups.slice(0, bestStart))}::${text(groups.slice(bestStart + bestLength))}`;
}

/** "socket:[123]" → 123. */
export function parseSocketLink(link: string): number | undefined {
  if (!link.startsWith("socket:[")) return undefined;
  const inode = Number.parseInt(link.slice(8), 10);
  return Number.isNaN(inode) ? undefined : inode;
}
