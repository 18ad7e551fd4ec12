/** Small rule packages in their real form. */
import type { RulePackage } from "@assay/control/entities";
import { digestOf } from "@assay/rules/read-packages";

export function pack(name: string, files: Readonly<Record<string, string>>): RulePackage {
  const manifest = `name: ${name}\ntitle: ${name}\nversion: "1"\ndescription: For tests.\n`;
  const all = [{ path: "package.yml", text: manifest }, ...Object.entries(files).map(([path, text]) => ({ path, text }))];
  return { name, version: "1", digest: digestOf(all), files: all };
}

export const httpListener = `
title: Listener that speaks HTTP
id: 11111111-1111-4111-8111-111111111111
description: For tests.
author: Assay
references: [https://example.org]
level: low
logsource: { category: listener, product: linux }
detection:
  http: { ApplicationProtocol: http, Channel: cleartext }
  condition: http
assay:
  scope: state
  identity: [Protocol, Port]
  platforms: [linux]
  remediation: Speak TLS.
  controls: {}
  cases:
    - { name: http, expect: match, event: { ApplicationProtocol: http, Channel: cleartext } }
    - { name: tls, expect: clear, event: { ApplicationProtocol: http, Channel: tls } }
`;

export const rootLogin = `
title: Root may log in over SSH
id: 22222222-2222-4222-8222-222222222222
description: For tests.
author: Assay
references: [https://example.org]
level: high
logsource: { category: setting, product: linux, service: sshd }
detection:
  root: { PermitRootLogin: "yes" }
  condition: root
assay:
  scope: state
  identity: []
  platforms: [linux]
  remediation: Set PermitRootLogin to no.
  controls: {}
  cases:
    - { name: "yes", expect: match, event: { PermitRootLogin: "yes" } }
    - { name: "no", expect: clear, event: { PermitRootLogin: "no" } }
`;

export const telnetFlow = `
title: Telnet between hosts
id: 33333333-3333-4333-8333-333333333333
description: For tests.
author: Assay
references: [https://example.org]
level: medium
logsource: { category: flow, product: linux }
detection:
  telnet: { DestinationPort: 23 }
  condition: telnet
assay:
  scope: event
  identity: [DestinationIp, DestinationPort]
  platforms: [linux]
  remediation: Use SSH.
  controls: {}
  cases:
    - { name: telnet, expect: match, event: { DestinationPort: 23 } }
    - { name: ssh, expect: clear, event: { DestinationPort: 22 } }
`;

/** Plain Sigma: for another system, and over what nobody collects. */
export const windowsShell = `
title: Windows shell
id: 44444444-4444-4444-8444-444444444444
author: Somebody
level: high
logsource: { category: process_creation, product: windows }
detection:
  shell: { "Image|endswith": sh }
  condition: shell
`;
export const dnsQuery = `
title: DNS query
id: 55555555-5555-4555-8555-555555555555
author: Somebody
level: low
logsource: { category: dns_query, product: linux }
detection:
  name: { QueryName: example.org }
  condition: name
`;
