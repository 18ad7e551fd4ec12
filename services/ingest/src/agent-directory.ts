/** Which agents there are: what ingest needs of control, and no more. */
import { ask } from "@assay/control/ask";
import type { Agent, Answer } from "@assay/control/entities";
import type { ControlView } from "@assay/control/follow";
import type { Codec } from "@assay/schemas/codec";
import type { Log } from "@assay/stream/log";
import { inventoryWantedBy } from "./inventory-wanted";

export interface AgentDirectory {
  /** SHA-256, hex, of the host's credential, as of the last refresh. */
  credentialHash(host_id: string): string | undefined;
  /** Event time since which the host's inventory must have been collected; 0 where nothing asks for any. */
  inventoryWantedSince?(host_id: string, now: number): number;
  /** Afterwards what had been written before the call is seen. */
  refresh(): Promise<void>;
  /** Resolves once the coordinator has answered, and then the agent's hash is known here. Rejects when it doesn't in time. */
  enrol(agent: Agent): Promise<Answer>;
}

export function controlDirectory(log: Log, codec: Codec, control: ControlView): AgentDirectory {
  return {
    credentialHash: (host_id) => control.latest("agent", host_id)?.value.credential_sha256,
    inventoryWantedSince: inventoryWantedBy(control),
    refresh: () => control.refresh(),
    enrol: (agent) => ask(log, codec, control, { type: "enrol_agent", agent }, "ingest"),
  };
}
