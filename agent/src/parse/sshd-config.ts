/** sshd_config(5), and what `sshd -T` prints. Of one keyword's values the first counts; Match blocks hold for some connections only. */

export interface SshdLine {
  readonly keyword: string;
  readonly value: string;
  readonly line: number;
}

/** Up to the first Match block: the settings that hold for everybody. */
export function parseSshdConfig(text: string): { readonly lines: readonly SshdLine[]; readonly hasMatch: boolean } {
  const lines: SshdLine[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const match = /^([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+)(.+)$/.exec(raw.trim().replace(/\s+#.*$/, ""));
    if (match?.[1] === undefined || match[2] === undefined) continue;
    if (match[1].toLowerCase() === "match") return { lines, hasMatch: true };
    lines.push({ keyword: match[1], value: match[2].trim().replace(/^"(.*)"$/, "$1"), line: index + 1 });
  }
  return { lines, hasMatch: false };
}

/** keyword → value, keywords as the manual writes them; several values of one keyword (Port, HostKey) with commas between. */
export function parseSshdTest(output: string): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const line of output.split("\n")) {
    const match = /^(\S+)\s+(.*)$/.exec(line.trim());
    if (match?.[1] === undefined || match[2] === undefined) continue;
    const keyword = sshdKeyword(match[1]);
    const before = settings[keyword];
    settings[keyword] = before === undefined ? match[2] : `${before},${match[2]}`;
  }
  return settings;
}

/** As sshd_config(5) writes it; one that isn't known stays as it came. */
export function sshdKeyword(word: string): string {
  return byLowerCase.get(word.toLowerCase()) ?? word;
}

/** Keywords of which sshd takes every line. */
export const repeatedKeywords: ReadonlySet<string> = new Set([
  "Port",
  "ListenAddress",
  "HostKey",
  "AcceptEnv",
  "AllowUsers",
  "DenyUsers",
  "AllowGroups",
  "DenyGroups",
  "Subsystem",
]);

const keywords =
  "AcceptEnv AddressFamily AllowAgentForwarding AllowGroups AllowStreamLocalForwarding AllowTcpForwarding AllowUsers " +
  "AuthenticationMethods AuthorizedKeysCommand AuthorizedKeysCommandUser AuthorizedKeysFile AuthorizedPrincipalsCommand " +
  "AuthorizedPrincipalsCommandUser AuthorizedPrincipalsFile Banner CASignatureAlgorithms ChannelTimeout ChrootDirectory Ciphers " +
  "ClientAliveCountMax ClientAliveInterval Compression DebianBanner DenyGroups DenyUsers DisableForwarding ExposeAuthInfo " +
  "FingerprintHash ForceCommand GatewayPorts GSSAPIAuthentication GSSAPICleanupCredentials GSSAPIKeyExchange " +
  "GSSAPIStoreCredentialsOnRekey GSSAPIStrictAcceptorCheck HostbasedAcceptedAlgorithms HostbasedAuthentication " +
  "HostbasedUsesNameFromPacketOnly HostCertificate HostKey HostKeyAgent HostKeyAlgorithms IgnoreRhosts IgnoreUserKnownHosts Include " +
  "IPQoS KbdInteractiveAuthentication ChallengeResponseAuthentication KerberosAuthentication KerberosGetAFSToken " +
  "KerberosOrLocalPasswd KerberosTicketCleanup KexAlgorithms ListenAddress LoginGraceTime LogLevel LogVerbose MACs MaxAuthTries " +
  "MaxSessions MaxStartups ModuliFile PAMServiceName PasswordAuthentication PermitEmptyPasswords PermitListen PermitOpen " +
  "PermitRootLogin PermitTTY PermitTunnel PermitUserEnvironment PermitUserRC PerSourceMaxStartups PerSourceNetBlockSize " +
  "PerSourcePenalties PidFile Port PrintLastLog PrintMotd Protocol PubkeyAcceptedAlgorithms PubkeyAuthOptions PubkeyAuthentication " +
  "RekeyLimit RequiredRSASize RevokedKeys RDomain SecurityKeyProvider SetEnv StreamLocalBindMask StreamLocalBindUnlink StrictModes " +
  "Subsystem SyslogFacility TCPKeepAlive TrustedUserCAKeys UnusedConnectionTimeout UseDNS UsePAM UsePrivilegeSeparation VersionAddendum " +
  "X11DisplayOffset X11Forwarding X11UseLocalhost XAuthLocation";

const byLowerCase = new Map(keywords.split(" ").map((word) => [word.toLowerCase(), word]));

/** What OpenSSH does where nothing is said, of the keywords that rules ask about. Protocol: version 1 was removed in OpenSSH 7.6. */
export const sshdDefaults: Readonly<Record<string, string>> = {
  AllowAgentForwarding: "yes",
  AllowTcpForwarding: "yes",
  ClientAliveCountMax: "3",
  ClientAliveInterval: "0",
  GSSAPIAuthentication: "no",
  HostbasedAuthentication: "no",
  IgnoreRhosts: "yes",
  KbdInteractiveAuthentication: "yes",
  LoginGraceTime: "120",
  LogLevel: "INFO",
  MaxAuthTries: "6",
  MaxSessions: "10",
  MaxStartups: "10:30:100",
  PasswordAuthentication: "yes",
  PermitEmptyPasswords: "no",
  PermitRootLogin: "prohibit-password",
  PermitTunnel: "no",
  PermitUserEnvironment: "no",
  Port: "22",
  Protocol: "2",
  PubkeyAuthentication: "yes",
  StrictModes: "yes",
  UseDNS: "no",
  UsePAM: "no",
  X11Forwarding: "no",
};
