/** TLS to a ClickHouse server: whom to trust, and the certificate that shows who we are. */
import { Agent } from "node:https";
import { rootCertificates } from "node:tls";
import type { ClickHouseClientConfigOptions } from "@clickhouse/client";

/** PEM texts, for https URLs. */
export interface TlsFiles {
  /** Who signed the server's certificate; Node's own list of authorities when missing. */
  readonly ca?: Buffer;
  /** Ours and its key, for a server, or a proxy in front of it, that asks for one. */
  readonly certificate?: Buffer;
  readonly key?: Buffer;
}

interface Login {
  readonly url: string;
  readonly password: string;
  readonly tls?: TlsFiles;
}

/**
 * With a password, a certificate is what the handshake asks for and the password says who the user is. Without one, ClickHouse is told to know
 * the user by the certificate (IDENTIFIED WITH ssl_certificate); it refuses both at once.
 */
export function connectionSecurity(
  { url, password, tls }: Login,
  connections_max: number,
): Pick<ClickHouseClientConfigOptions, "tls" | "http_agent"> {
  if (tls === undefined) return {};
  const { ca, certificate, key } = tls;
  if (new URL(url).protocol !== "https:")
    throw new Error(`TLS files are given for ClickHouse at ${new URL(url).origin}, which is no https URL (ASSAY_CLICKHOUSE_URL)`);
  if ((certificate === undefined) !== (key === undefined))
    throw new Error(
      `a certificate for ClickHouse needs its key and the other way round; ${key === undefined ? "the key" : "the certificate"} is missing (ASSAY_CLICKHOUSE_CERT_FILE, ASSAY_CLICKHOUSE_KEY_FILE)`,
    );
  if (certificate !== undefined && key !== undefined && password === "")
    return { tls: { ca_cert: ca ?? Buffer.from(rootCertificates.join("\n")), cert: certificate, key } };
  return {
    http_agent: new Agent({
      keepAlive: true,
      maxSockets: connections_max,
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
    }),
  };
}

/** What to do about the end of a TLS connection, by Node's code of it. */
export function explainTls(code: string): string | undefined {
  if (untrusted.has(code)) return "its certificate isn't trusted; name the authority that signed it (ASSAY_CLICKHOUSE_CA_FILE)";
  if (code === "CERT_HAS_EXPIRED") return "its certificate has expired";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "its certificate is for another name (ASSAY_CLICKHOUSE_URL)";
  if (code === "EPROTO") return "no TLS could be agreed on; is the port one for https (ASSAY_CLICKHOUSE_URL)?";
  if (code.startsWith("ERR_SSL_") && code.includes("CERTIFICATE"))
    return "it wants a certificate of ours that it trusts (ASSAY_CLICKHOUSE_CERT_FILE, ASSAY_CLICKHOUSE_KEY_FILE)";
  return undefined;
}

const untrusted: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
