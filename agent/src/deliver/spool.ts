/**
 * What waits to be sent, on disk before it is sent and until ingest has it: a killed agent loses what it had not put into a batch,
 * and one that is cut off delivers all of it later, in order, as it was.
 *
 *   telemetry/<incarnation>-<seq>.avro      oldest first; past the limit the oldest are dropped, and counted
 *   inventory/<section>.<chunk>.avro        a newer one takes the place of an older one
 *
 * A batch that the disk doesn't take stays in memory, up to a limit of its own.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Codec, Decoded } from "@assay/schemas/codec";
import type { InventorySection, TelemetryBatch } from "@assay/schemas/generated/types";
import { attempt } from "../read/read";
import type { DropCounts } from "./drop-counts";
import type { AgentLogger } from "./logger";

export interface SpoolOptions {
  readonly folder: string;
  readonly bytes_max: number;
  readonly codec: Codec;
  readonly drops: DropCounts;
  readonly logger: AgentLogger;
}

export type Waiting =
  | { readonly kind: "telemetry"; readonly slot: Slot<TelemetryBatch>; readonly value: TelemetryBatch }
  | { readonly kind: "inventory"; readonly slot: Slot<InventorySection>; readonly value: InventorySection };

/** A place in the queue. */
export interface Slot<T> {
  readonly name: string;
  readonly size: number;
  /** Undefined while it is on disk only. */
  value: T | undefined;
  on_disk: boolean;
}

export class Spool {
  private readonly telemetry: Slot<TelemetryBatch>[];
  private readonly inventory: Slot<InventorySection>[];
  private bytes = 0;
  private turn: Waiting["kind"] = "inventory";
  /** It may be with ingest already, so it isn't dropped: that would count it as lost. */
  private sending: Slot<unknown> | undefined;
  private diskFailed = false;

  constructor(private readonly options: SpoolOptions) {
    for (const kind of ["telemetry", "inventory"]) mkdirSync(join(options.folder, kind), { recursive: true, mode: 0o700 });
    this.telemetry = this.found<TelemetryBatch>("telemetry");
    this.inventory = this.found<InventorySection>("inventory");
    this.trim();
  }

  get waitingBatches(): number {
    return this.telemetry.length;
  }

  get isEmpty(): boolean {
    return this.telemetry.length === 0 && this.inventory.length === 0;
  }

  addTelemetry(batch: TelemetryBatch): void {
    this.put(
      "telemetry",
      `${digits(batch.incarnation)}-${digits(batch.seq)}`,
      batch,
      this.options.codec.encode("TelemetryBatch", batch),
    );
    this.trim();
  }

  /** All chunks of one section; what waits of an older version is forgotten. */
  addInventory(chunks: readonly InventorySection[]): void {
    const section = chunks[0]?.section;
    for (const slot of [...this.inventory]) if (slot.name.startsWith(`${section}.`)) this.remove("inventory", slot);
    for (const chunk of chunks) {
      this.put(
        "inventory",
        `${chunk.section}.${digits(chunk.chunk)}`,
        chunk,
        this.options.codec.encode("InventorySection", chunk),
      );
    }
  }

  /** The next to send: the kinds take turns, so that neither waits for the other's backlog. */
  next(): Waiting | undefined {
    const order: Waiting["kind"][] = this.turn === "telemetry" ? ["telemetry", "inventory"] : ["inventory", "telemetry"];
    for (const kind of order) {
      const found = kind === "telemetry" ? this.firstTelemetry() : this.firstInventory();
      if (!found) continue;
      this.turn = kind === "telemetry" ? "inventory" : "telemetry";
      this.sending = found.slot;
      return found;
    }
    return undefined;
  }

  /** It has been delivered, or can't be used. Something newer that took its place meanwhile stays. */
  done(sent: Waiting): void {
    this.sending = undefined;
    this.remove(sent.kind, sent.slot);
  }

  /** It was not delivered, and waits on. */
  keep(): void {
    this.sending = undefined;
  }

  private firstTelemetry(): Waiting | undefined {
    for (let slot = this.telemetry[0]; slot; slot = this.telemetry[0]) {
      slot.value ??= this.loadTelemetry(slot);
      if (slot.value) return { kind: "telemetry", slot, value: slot.value };
      this.remove("telemetry", slot);
    }
    return undefined;
  }

  private firstInventory(): Waiting | undefined {
    for (let slot = this.inventory[0]; slot; slot = this.inventory[0]) {
      slot.value ??= this.loadInventory(slot);
      if (slot.value) return { kind: "inventory", slot, value: slot.value };
      this.remove("inventory", slot);
    }
    return undefined;
  }

  private loadTelemetry(slot: Slot<TelemetryBatch>): TelemetryBatch | undefined {
    const decoded = this.load("telemetry", slot.name);
    if (decoded?.name === "TelemetryBatch") return decoded.value;
    this.options.drops.add("batches", "spool_unreadable", 1);
    return undefined;
  }

  private loadInventory(slot: Slot<InventorySection>): InventorySection | undefined {
    const decoded = this.load("inventory", slot.name);
    return decoded?.name === "InventorySection" ? decoded.value : undefined;
  }

  private load(kind: Waiting["kind"], name: string): Decoded | undefined {
    const path = this.path(kind, name);
    const bytes = attempt(() => readFileSync(path));
    const decoded = bytes.kind === "read" ? this.options.codec.decode(bytes.value) : undefined;
    if (!decoded || decoded.name === "undecodable") {
      this.options.logger.error({ path, reason: decoded?.detail ?? bytes.kind }, "spooled file is unreadable");
    }
    return decoded;
  }

  private put(kind: Waiting["kind"], name: string, value: unknown, bytes: Buffer): void {
    const path = this.path(kind, name);
    const slot: Slot<unknown> = { name, size: bytes.length, value: undefined, on_disk: true };
    try {
      writeFileSync(`${path}.new`, bytes, { mode: 0o600 });
      renameSync(`${path}.new`, path);
      if (this.diskFailed) this.options.logger.info({ folder: this.options.folder }, "spool is writable again");
      this.diskFailed = false;
    } catch (error) {
      if (!this.diskFailed) this.options.logger.error({ error, path }, "spool is not writable; batches wait in memory");
      this.diskFailed = true;
      slot.on_disk = false;
    }
    const slots: Slot<unknown>[] = kind === "telemetry" ? this.telemetry : this.inventory;
    // Values of a long backlog are read from disk again when their turn comes.
    if (!slot.on_disk || slots.length < values_in_memory_max) slot.value = value;
    slots.push(slot);
    this.bytes += slot.size;
  }

  private remove(kind: Waiting["kind"], slot: Slot<unknown>): void {
    const slots: Slot<unknown>[] = kind === "telemetry" ? this.telemetry : this.inventory;
    const index = slots.indexOf(slot);
    if (index < 0) return;
    slots.splice(index, 1);
    this.bytes -= slot.size;
    if (slot.on_disk) attempt(() => unlinkSync(this.path(kind, slot.name)));
  }

  private trim(): void {
    while (this.telemetry.length > 1) {
      const full = this.bytes > this.options.bytes_max || this.telemetry.length > batches_max;
      const inMemory = this.diskFailed && this.telemetry.filter((s) => !s.on_disk).length > memory_batches_max;
      if (!full && !inMemory) return;
      const oldest = this.telemetry.find((s) => s !== this.sending && (full || !s.on_disk));
      if (!oldest) return;
      this.drop(oldest, full ? "spool_full" : "disk_unwritable");
    }
  }

  private drop(slot: Slot<TelemetryBatch>, reason: string): void {
    const value = slot.value ?? this.loadTelemetry(slot);
    this.remove("telemetry", slot);
    if (value) countLost(this.options.drops, value, reason);
  }

  private found<T>(kind: Waiting["kind"]): Slot<T>[] {
    const folder = join(this.options.folder, kind);
    const names = readdirSync(folder);
    for (const name of names) if (name.endsWith(".new")) attempt(() => unlinkSync(join(folder, name))); // a kill came in between
    const slots = names
      .filter((name) => name.endsWith(suffix))
      .sort()
      .map((name) => ({
        name: name.slice(0, -suffix.length),
        size: statSync(join(folder, name)).size,
        value: undefined,
        on_disk: true,
      }));
    for (const slot of slots) this.bytes += slot.size;
    return slots;
  }

  private path(kind: Waiting["kind"], name: string): string {
    return join(this.options.folder, kind, name + suffix);
  }
}

/** A lost batch's events by kind, the batch itself, and the losses that it was to tell. */
export function countLost(drops: DropCounts, batch: TelemetryBatch, reason: string): void {
  drops.add("batches", reason, 1);
  drops.add("processes", reason, batch.processes.length);
  drops.add("connections", reason, batch.connections.length);
  drops.add("listeners", reason, batch.listeners.length);
  for (const drop of batch.drops) drops.add(drop.kind, drop.reason, drop.count);
}

const suffix = ".avro";
const values_in_memory_max = 8;
const memory_batches_max = 64;
/** A folder with more files than this is slow to list. */
const batches_max = 50_000;

/** So that names sort as numbers do. */
function digits(value: number): string {
  return String(value).padStart(15, "0");
}
