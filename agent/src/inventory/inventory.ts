/**
 * When each section is collected and when it is sent: all of them at the start, the cheap ones first; then again at their interval,
 * and sent where they have changed, when they are asked for, or every 12 h. Executables also when one starts that hasn't been seen.
 */
import type { InventorySection } from "@assay/schemas/generated/types";
import { type SectionName, sectionNames } from "@assay/schemas/inventory";
import type { AgentLogger } from "../deliver/logger";
import { chunksOf, digestOf } from "./chunks";
import type { Collected } from "./section";

export type Collectors = { readonly [N in SectionName]: () => Collected<N> | Promise<Collected<N>> };

export interface InventoryOptions {
  readonly collectors: Collectors;
  readonly send: (chunks: readonly InventorySection[]) => void;
  readonly host_id: string;
  readonly host_name: string;
  readonly incarnation: number;
  readonly inventory_wait_ms: number;
  readonly executables_wait_ms: number;
  readonly logger: AgentLogger;
  readonly now: () => number;
}

export class Inventory {
  private readonly sent = new Map<SectionName, { what: string; at: number }>();
  private readonly collectedAt = new Map<SectionName, number>();
  private newExecutable = false;
  /** What was collected before is sent again, changed or not. */
  private wantedSince = Number.NEGATIVE_INFINITY;
  private round: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(private readonly options: InventoryOptions) {}

  start(): void {
    this.tick();
  }

  /** A process runs an executable that the section may not have. */
  noteNewExecutable(): void {
    this.newExecutable = true;
  }

  /** Asked for by ingest: rules have changed, or an assessment has begun. */
  wantSince(since: number): void {
    this.wantedSince = Math.max(this.wantedSince, since);
  }

  /** Resolves when the section in hand is done. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.round;
  }

  private tick(): void {
    this.round = this.collectDue().finally(() => {
      if (!this.stopped) this.timer = setTimeout(() => this.tick(), tick_ms);
    });
  }

  private async collectDue(): Promise<void> {
    for (const section of order) {
      if (this.stopped) return;
      if (this.isDue(section)) await this.collect(section);
    }
  }

  private isDue(section: SectionName): boolean {
    if (this.isOlderThanWanted(section)) return true;
    const age = this.options.now() - (this.collectedAt.get(section) ?? Number.NEGATIVE_INFINITY);
    if (section !== "executables") return age >= this.options.inventory_wait_ms;
    return age >= this.options.executables_wait_ms || (this.newExecutable && age >= new_executable_wait_ms);
  }

  private isOlderThanWanted(section: SectionName): boolean {
    const at = this.sent.get(section)?.at;
    return at !== undefined && at < this.wantedSince;
  }

  private async collect(section: SectionName): Promise<void> {
    const { collectors, logger, now } = this.options;
    const at = now();
    this.collectedAt.set(section, at);
    if (section === "executables") this.newExecutable = false;
    let found: Collected<SectionName>;
    try {
      found = await collectors[section]();
    } catch (error) {
      // One section that can't be read is no reason to keep the others; what reads it will say insufficient evidence.
      logger.error({ error, section }, "inventory section could not be collected");
      found = { status: "unreadable", reason: (error as Error).message, content: emptyContents[section] };
    }
    this.sendWhereNew(section, found, at);
  }

  private sendWhereNew(section: SectionName, found: Collected<SectionName>, at: number): void {
    const { send, host_id, host_name, incarnation } = this.options;
    const content = Buffer.from(JSON.stringify(found.content));
    const digest = digestOf(content);
    const what = `${digest} ${found.status} ${found.reason}`;
    const before = this.sent.get(section);
    if (before?.what === what && at - before.at < resend_ms && before.at >= this.wantedSince) return;
    this.sent.set(section, { what, at });
    const { status, reason } = found;
    send(chunksOf({ host_id, host_name, incarnation, section, collected_at: at, sent_at: at, status, reason }, content, digest));
  }
}

/** The cheap ones first, so that they are there within the first second. */
const order: readonly SectionName[] = [...sectionNames].sort((a, b) => cost(a) - cost(b));

function cost(section: SectionName): number {
  return { packages: 1, executables: 2 }[section as string] ?? 0;
}

const noSettings = { settings: {}, sources: {} };
const emptyContents: { readonly [N in SectionName]: Collected<N>["content"] } = {
  os: { id: "", version_id: "", pretty_name: "", kernel_release: "", architecture: "" },
  packages: { ecosystem: "none", packages: [] },
  users: { users: [] },
  sshd: noSettings,
  "login-defs": noSettings,
  "password-quality": noSettings,
  kernel: noSettings,
  directories: { directories: [] },
  executables: { executables: [], unreadable: 0 },
  addresses: { addresses: [] },
};

const tick_ms = 1_000;
/** A new executable waits for company: starts come in bursts. */
const new_executable_wait_ms = 30_000;
/** State that is older than 26 h counts as no evidence. */
const resend_ms = 12 * 3_600_000;
