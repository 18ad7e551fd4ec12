/**
 * A command that somebody waits for, and that works on servers: where they are away it says so soon, and ends; what goes wrong is one line for
 * the user. Services and the setup wait as long as the settings say.
 */
import { UserError } from "../io";
import type { KafkaSettings } from "./settings";

/** How long servers may be away before such a command gives up. */
export const command_retry_wait_ms_max = 20_000;

/** doing: "look at dead letters", for the message. Rejects with UserError. */
export async function withServers<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`could not ${doing}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

export function forCommand(settings: KafkaSettings): KafkaSettings {
  return { ...settings, retry_ms: Math.min(settings.retry_ms, command_retry_wait_ms_max) };
}
