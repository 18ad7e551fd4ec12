/** How a store is reached: of the embedded engine, or of the server that the settings name. Plain data, so that it may cross threads. */
import { readFileSync } from "node:fs";
import type { Relation, SettingsOf } from "@assay/runtime/settings";
import type { StoreOptions } from "@assay/store/client";
import type { clickhouseSettings } from "../embedded/settings";
import { UserError } from "../io";

export interface StoreLogin {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** Of a cluster of replicas. */
  readonly cluster?: string;
  readonly ca_file?: string;
  readonly certificate_file?: string;
  readonly key_file?: string;
}

/** Undefined where the settings name no server. */
export function serverLogin(settings: SettingsOf<typeof clickhouseSettings>): StoreLogin | undefined {
  const { url, username, password, cluster, ca_file, certificate_file, key_file } = settings;
  if (url === undefined) return undefined;
  return {
    url,
    username,
    password: password ?? "",
    ...(cluster === "" ? {} : { cluster }),
    ...(ca_file === undefined ? {} : { ca_file }),
    ...(certificate_file === undefined ? {} : { certificate_file }),
    ...(key_file === undefined ? {} : { key_file }),
  };
}

/** Throws UserError where a file can't be read. */
export function storeOptions(login: StoreLogin): StoreOptions {
  const { url, username, password, cluster, ca_file, certificate_file, key_file } = login;
  const tls = {
    ...(ca_file === undefined ? {} : { ca: pemFile("ASSAY_CLICKHOUSE_CA_FILE", ca_file) }),
    ...(certificate_file === undefined ? {} : { certificate: pemFile("ASSAY_CLICKHOUSE_CERT_FILE", certificate_file) }),
    ...(key_file === undefined ? {} : { key: pemFile("ASSAY_CLICKHOUSE_KEY_FILE", key_file) }),
  };
  return {
    url,
    username,
    password,
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(cluster === undefined ? {} : { insert_quorum: "auto" as const }),
  };
}

/** Throws UserError. */
export function pemFile(setting: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UserError(`can't read ${file}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message} (${setting})`);
  }
}

export const clickhouseRelations: readonly Relation<typeof clickhouseSettings>[] = [
  {
    between: ["url", "ca_file", "certificate_file", "key_file"],
    problem: (s) =>
      s.url?.startsWith("http:") && (s.ca_file ?? s.certificate_file ?? s.key_file) !== undefined
        ? `files for TLS with ClickHouse are named (ASSAY_CLICKHOUSE_CA_FILE, ASSAY_CLICKHOUSE_CERT_FILE, ASSAY_CLICKHOUSE_KEY_FILE), and ASSAY_CLICKHOUSE_URL is no https URL`
        : undefined,
  },
  {
    between: ["certificate_file", "key_file"],
    problem: (s) =>
      (s.certificate_file === undefined) !== (s.key_file === undefined)
        ? "mutual TLS with ClickHouse needs both ASSAY_CLICKHOUSE_CERT_FILE and ASSAY_CLICKHOUSE_KEY_FILE"
        : undefined,
  },
];
