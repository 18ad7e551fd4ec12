/**
 * Decides which listeners are probed and when: TCP, in the agent's own network namespace, a little after they open, once, and again
 * after 12 h unless they are Assay's own. A few at a time, never two of one port.
 */
import type { OwnConnections } from "./excluded";
import { pause } from "./pause";
import { type Heard, probeListener } from "./probe";

export interface ProberOptions {
  readonly enabled: boolean;
  /** Ports that are asked once only: those of Assay's own servers. */
  readonly once_ports: ReadonlySet<number>;
  readonly own: OwnConnections;
  readonly probe?: typeof probeListener;
  /** A port that listens at two addresses isn't asked twice within this time. */
  readonly between_probes_ms?: number;
}

export interface Probeable {
  readonly address: string;
  readonly port: number;
  readonly opened_at: number;
}

export class Prober {
  /** By address and port: when it was asked last. */
  private readonly asked = new Map<string, number>();
  private readonly running = new Map<number, Promise<void>>();
  private readonly stopping = new AbortController();

  constructor(private readonly options: ProberOptions) {}

  /** Starts the probe where it is due; `heard` gets the answer. A listener that has opened anew since the last one is due as well. */
  consider(listener: Probeable, now: number, heard: (answer: Heard) => void): void {
    const { signal } = this.stopping;
    if (!this.options.enabled || signal.aborted) return;
    if (this.running.size >= probes_max || this.running.has(listener.port)) return;
    if (now - listener.opened_at < settle_ms) return;
    const key = `${listener.address} ${listener.port}`;
    const asked_at = this.asked.get(key);
    if (asked_at !== undefined && !this.isDueAgain(asked_at, listener, now)) return;
    if (this.asked.size >= asked_max) this.asked.clear();
    this.asked.set(key, now);
    const probe = this.options.probe ?? probeListener;
    const run = probe(reachable(listener.address), listener.port, this.options.own, signal)
      .then((answer) => {
        if (!signal.aborted) heard(answer);
      })
      .then(() => pause(this.options.between_probes_ms ?? default_between_probes_ms, signal))
      .finally(() => this.running.delete(listener.port));
    this.running.set(listener.port, run);
  }

  /** Ends those under way. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running.values());
  }

  private isDueAgain(asked_at: number, listener: Probeable, now: number): boolean {
    if (this.options.once_ports.has(listener.port)) return false;
    return now - asked_at >= again_ms || (listener.opened_at > asked_at && now - asked_at >= reopened_ms);
  }
}

function reachable(address: string): string {
  if (address === "0.0.0.0") return "127.0.0.1";
  return address === "::" ? "::1" : address;
}

const settle_ms = 2_000;
const again_ms = 12 * 3_600_000;
/** A server that is restarted over and over is asked once in this time. */
const reopened_ms = 60_000;
const probes_max = 4;
const asked_max = 65_536;
const default_between_probes_ms = 1_000;
