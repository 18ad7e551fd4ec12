/** What has been asked of the coordinator and isn't carried out yet: a command stands in the log until the correlator runs. */
import { type CommandBody, commandSchema } from "@assay/control/commands";
import type { Codec } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { Log } from "@assay/stream/log";
import { coordinator_group } from "../groups";

export interface PendingCommand {
  readonly command_id: string;
  readonly body: CommandBody;
}

const read_records_max = 500;

/** The offset of the first command that the coordinator hasn't been through. The topic must be there. */
export async function pendingFrom(log: Log): Promise<number> {
  return (await log.committed(coordinator_group, topics.commands.name, 0))?.offset ?? 0;
}

/** From that offset to the end, oldest first; what isn't a command is left out. */
export async function commandsFrom(log: Log, codec: Codec, from: number): Promise<readonly PendingCommand[]> {
  const { name } = topics.commands;
  const { earliest, end } = await log.bounds(name, 0);
  const pending: PendingCommand[] = [];
  for (let next = Math.max(from, earliest); next < end; ) {
    const records = await log.read(name, 0, next, read_records_max);
    const last = records.at(-1);
    if (!last) break;
    next = last.offset + 1;
    for (const { value } of records) {
      const decoded = value ? codec.decode(value) : undefined;
      if (decoded?.name !== "Command") continue;
      const { command_id, type, body } = decoded.value;
      const parsed = commandSchema.safeParse({ ...(parseJson(body) as object), type });
      if (parsed.success) pending.push({ command_id, body: parsed.data });
    }
  }
  return pending;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // the coordinator refuses it, and says so
  }
}
