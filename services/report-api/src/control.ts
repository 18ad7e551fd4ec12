/** What the API needs of control: reading entities, and asking the coordinator. ControlView and ask() satisfy it. */
import type { CommandBody } from "@assay/control/commands";
import type { Answer } from "@assay/control/entities";
import type { ControlView } from "@assay/control/follow";

export type ControlReader = Pick<ControlView, "all" | "latest" | "versionAt" | "refresh">;

export interface Control {
  readonly view: ControlReader;
  /** Resolves with the coordinator's answer; rejects when none came in time. `by`: who asks, for the record. */
  ask(body: CommandBody, by: string): Promise<Answer>;
}
