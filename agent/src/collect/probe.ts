/**
 * Asks one TCP listener what it speaks: waits for a greeting; where none comes, tries a TLS handshake on the same connection; where
 * that fails, opens a second connection and sends an HTTP request. Closes each at once, and stores nothing that it hears.
 */
import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Channel, TlsFacts } from "@assay/schemas/generated/types";
import { channelOf, formatName, protocolOfAnswer, protocolOfGreeting } from "../parse/greeting";
import type { OwnConnections } from "./excluded";
import { pause } from "./pause";

export interface Heard {
  readonly application_protocol: string;
  readonly channel: Channel;
  readonly tls: TlsFacts | null;
}

export const nothingHeard: Heard = { application_protocol: "", channel: "unknown", tls: null };

/** Aborted, it closes what it has open and says that it heard nothing. */
export async function probeListener(address: string, port: number, own: OwnConnections, signal: AbortSignal): Promise<Heard> {
  const first = await open(address, port, own, signal);
  if (!first) return nothingHeard;
  try {
    const greeting = await listen(first, greeting_wait_ms);
    if (greeting.text !== "") {
      const protocol = protocolOfGreeting(greeting.text, port);
      return { application_protocol: protocol, channel: channelOf(protocol), tls: null };
    }
    if (greeting.open) {
      const secured = await handshake(first);
      if (secured) return secured;
    }
  } finally {
    first.destroy();
  }
  await pause(between_connections_ms, signal);
  const second = await open(address, port, own, signal);
  if (!second) return nothingHeard;
  try {
    const protocol = protocolOfAnswer(await ask(second));
    return { application_protocol: protocol, channel: channelOf(protocol), tls: null };
  } finally {
    second.destroy();
  }
}

function open(address: string, port: number, own: OwnConnections, signal: AbortSignal): Promise<Socket | undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const abort = () => socket.destroy();
    signal.addEventListener("abort", abort);
    const note = () => {
      own.openedBy(socket);
    };
    const timer = setTimeout(() => settle(undefined), connect_wait_ms);
    const settle = (result: Socket | undefined) => {
      clearTimeout(timer);
      if (!result) socket.destroy();
      resolve(result);
    };
    socket.on("error", () => settle(undefined)); // stays: a reset later on is an answer too, not a fault
    socket.once("close", () => {
      signal.removeEventListener("abort", abort);
      settle(undefined);
    });
    socket.once("connect", () => {
      note();
      settle(socket);
    });
  });
}

/** What comes within the time, and whether the other end has left the connection open. */
function listen(socket: Socket | TLSSocket, wait_ms: number): Promise<{ text: string; open: boolean }> {
  return new Promise((resolve) => {
    const settle = (text: string, open: boolean) => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("close", onClose);
      socket.off("end", onClose);
      socket.pause();
      resolve({ text, open });
    };
    const onData = (data: Buffer) => settle(data.toString("latin1", 0, heard_bytes_max), true);
    const onClose = () => settle("", false);
    const timer = setTimeout(() => settle("", true), wait_ms);
    socket.on("data", onData);
    socket.on("close", onClose);
    socket.on("end", onClose);
    socket.resume();
  });
}

async function ask(socket: Socket | TLSSocket): Promise<string> {
  socket.write("OPTIONS * HTTP/1.0\r\n\r\n");
  return (await listen(socket, answer_wait_ms)).text;
}

/** Any certificate will do, and old versions too: the point is to learn about them. */
async function handshake(socket: Socket): Promise<Heard | undefined> {
  const secured = await new Promise<TLSSocket | undefined>((resolve) => {
    const tls = connectTls({ socket, rejectUnauthorized: false, minVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" });
    const timer = setTimeout(() => settle(undefined), handshake_wait_ms);
    const settle = (result: TLSSocket | undefined) => {
      clearTimeout(timer);
      if (!result) tls.destroy();
      resolve(result);
    };
    tls.on("error", () => settle(undefined));
    tls.once("close", () => settle(undefined));
    tls.once("secureConnect", () => settle(tls));
  });
  if (!secured) return undefined;
  try {
    const facts = tlsFacts(secured);
    const greeting = await listen(secured, secured_greeting_wait_ms);
    const protocol =
      greeting.text !== ""
        ? protocolOfGreeting(greeting.text, secured.remotePort ?? 0)
        : greeting.open
          ? protocolOfAnswer(await ask(secured))
          : "";
    return { application_protocol: protocol, channel: "tls", tls: facts };
  } finally {
    secured.destroy();
  }
}

function tlsFacts(socket: TLSSocket): TlsFacts {
  const certificate = socket.getPeerCertificate();
  const named = certificate.subject !== undefined; // an anonymous cipher brings no certificate
  const subject = named ? formatName({ ...certificate.subject }) : "";
  const issuer = named ? formatName({ ...certificate.issuer }) : "";
  return {
    version: socket.getProtocol() ?? "",
    cipher: socket.getCipher()?.name ?? "",
    certificate_subject: subject,
    certificate_issuer: issuer,
    certificate_not_after: (named && Date.parse(certificate.valid_to)) || 0, // it may be no time at all
    self_signed: named && subject === issuer,
  };
}

const connect_wait_ms = 500;
const greeting_wait_ms = 600;
const secured_greeting_wait_ms = 300;
const handshake_wait_ms = 1_000;
const answer_wait_ms = 1_000;
/** Never two connections a second to one port. */
const between_connections_ms = 1_100;
const heard_bytes_max = 512;
