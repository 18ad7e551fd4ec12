/**
 * The agent: collectors poll the host and tell events; the batcher cuts them into batches; the spool keeps these on disk until the
 * sender has brought them to ingest, or to Kafka. Inventory goes the same way, section by section.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { RunningService } from "@assay/runtime/service";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { ProcessEvent } from "@assay/schemas/generated/types";
import { Connections } from "./collect/connections";
import { OwnConnections } from "./collect/excluded";
import { Health } from "./collect/health";
import { Listeners } from "./collect/listeners";
import { ListeningSockets } from "./collect/listening-sockets";
import { Poll } from "./collect/poll";
import { Prober } from "./collect/prober";
import { ProcessTable } from "./collect/process-table";
import { Processes } from "./collect/processes";
import { SocketOwners } from "./collect/socket-owners";
import { Sockets } from "./collect/socket-snapshot";
import { type AgentConfig, parsePorts, parseTags } from "./config";
import { Batcher } from "./deliver/batcher";
import { createClock } from "./deliver/clock";
import { DropCounts } from "./deliver/drop-counts";
import { Events } from "./deliver/events";
import type { AgentLogger } from "./deliver/logger";
import { openDelivery } from "./deliver/open-delivery";
import { Sender } from "./deliver/sender";
import { Spool } from "./deliver/spool";
import { StateFolder } from "./deliver/state-folder";
import { collectAddresses } from "./inventory/addresses";
import { collectDirectories } from "./inventory/directories";
import { Executables } from "./inventory/executables";
import { Inventory } from "./inventory/inventory";
import { collectKernel } from "./inventory/kernel";
import { collectLoginDefs } from "./inventory/login-defs";
import { collectOs } from "./inventory/os";
import { collectPackages } from "./inventory/packages";
import { collectPasswordQuality } from "./inventory/password-quality";
import { remembered } from "./inventory/remembered";
import { collectSshd, sshdPaths } from "./inventory/sshd";
import { collectUsers } from "./inventory/users";
import { readInhabitedGroups } from "./inventory/writable-by";
import { parseBootTime } from "./parse/proc-stat";
import { AccountNames } from "./read/account-names";
import { ProcReader } from "./read/proc";

export interface AgentSurroundings {
  readonly logger: AgentLogger;
  readonly agent_version: string;
  /** Never goes back; see clock.ts. */
  readonly now?: () => number;
  readonly random?: () => number;
}

export interface RunningAgent extends RunningService {
  readonly host_id: string;
  readonly incarnation: number;
}

/** Throws where the state folder can't be used, or /proc says nothing: then there is nothing to watch. */
export async function runAgent(config: AgentConfig, surroundings: AgentSurroundings): Promise<RunningAgent> {
  const { logger, agent_version } = surroundings;
  const now = surroundings.now ?? createClock();
  const state = StateFolder.open(config.state);
  try {
    const proc = new ProcReader();
    const bootTime = bootTimeOf(proc);
    const codec = new Codec(folderIds());
    const drops = new DropCounts();
    const own = new OwnConnections(now);
    const host_id = state.hostId("/");
    const host_name = config.host_name === "" ? hostname() : config.host_name;
    const incarnation = state.nextIncarnation(now());
    const mark = state.mark();
    const place = { root: "" };
    const accounts = new AccountNames(place.root, now);
    const agent_pid = process.pid;
    const table = new ProcessTable({ proc, names: accounts, mark, boot_ms: bootTime, agent_pid });
    const spool = new Spool({ folder: join(config.state, "spool"), bytes_max: config.spool_bytes_max, codec, drops, logger });

    const sender = new Sender({
      delivery: openDelivery(config, { state, codec, logger, own, host_id, host_name, agent_version, now }),
      spool,
      drops,
      logger,
      retry: { first_ms: config.retry_first_ms, max_ms: config.retry_max_ms },
      now,
      random: surroundings.random ?? Math.random,
      onInventoryWanted: (since) => inventory.wantSince(since),
    });

    const inventory = inventoryOf();
    const events = new Events(drops, () => flush());
    const { health, polls, prober, processes } = collectorsOf();
    let observed_from = now();
    const os = collectOs(place).content;
    const batcher = new Batcher({
      events,
      drops,
      spool,
      heading: {
        host_id,
        host_name,
        agent_version,
        incarnation,
        tags: { os: os.id, os_version: os.version_id, architecture: os.architecture, ...parseTags(config.tags) },
      },
      completeThrough: () => Math.min(...polls.map((p) => p.complete_through)),
      observedFrom: () => observed_from,
      collectors: () => Object.values(health).map((h) => h.take()),
      now,
    });
    const flush = () => {
      batcher.flush();
      sender.poke();
    };

    sender.start();
    for (const poll of polls) await poll.start(); // in order: owners of sockets are looked up among the processes
    inventory.start();
    const flushTimer = setInterval(flush, config.flush_wait_ms);
    logger.info({ host_id, incarnation, waiting: spool.waitingBatches }, "watching this host");

    return {
      host_id,
      incarnation,
      ready: () => ({ ready: true }),
      ended: new Promise<void>(() => undefined),
      async stop() {
        clearInterval(flushTimer);
        await inventory.stop();
        for (const poll of polls) await poll.stop();
        processes.tellUnsettled();
        flush();
        await sender.stop(config.stop_wait_ms);
        await prober.stop();
        state.close();
      },
    };

    function collectorsOf() {
      const listening = new ListeningSockets(proc, now);
      const owners = new SocketOwners(proc, table, agent_pid, now);
      const prober = new Prober({ enabled: config.probe_listeners, once_ports: parsePorts(config.probe_once_ports), own });
      const health = {
        processes: new Health("processes"),
        connections: new Health("connections"),
        listeners: new Health("listeners"),
      };
      const sockets = new Sockets(proc, table, agent_pid);
      const shared = { table, owners, sockets, listening, names: accounts, agent_pid, window_ms: config.window_ms };
      const images = new Set<string>();
      const tellProcess = (event: ProcessEvent) => {
        if (images.size >= images_max) images.clear();
        if (!images.has(event.image)) inventory.noteNewExecutable();
        images.add(event.image);
        events.tellProcess(event);
      };
      const processes = new Processes({ proc, table, listening, health: health.processes, tell: tellProcess });
      const connections = new Connections({
        ...shared,
        own,
        health: health.connections,
        tell: events.tellConnection,
        drop: (reason, count) => events.drop("connections", reason, count),
      });
      const listeners = new Listeners({
        ...shared,
        proc,
        prober,
        snapshot_age_ms_max: config.connections_wait_ms,
        health: health.listeners,
        tell: events.tellListener,
        drop: (reason, count) => events.drop("listeners", reason, count),
      });
      const onGap = (resumed_at: number) => {
        observed_from = Math.max(observed_from, resumed_at);
        logger.warn({ resumed_at }, "the agent did not run for a while; it observes anew from now on");
      };
      const timing = { now, logger, onGap };
      const polls = [
        new Poll({ ...timing, wait_ms: config.processes_wait_ms, poll: (at) => processes.poll(at), health: health.processes }),
        new Poll({
          ...timing,
          wait_ms: config.connections_wait_ms,
          poll: (at) => connections.poll(at),
          health: health.connections,
        }),
        new Poll({ ...timing, wait_ms: config.listeners_wait_ms, poll: (at) => listeners.poll(at), health: health.listeners }),
      ];
      return { health, polls, prober, processes };
    }

    function inventoryOf(): Inventory {
      const executables = new Executables({ proc, table, accounts });
      return new Inventory({
        collectors: {
          os: () => collectOs(place),
          packages: remembered(["/var/lib/dpkg/status"], () => collectPackages(place), now),
          users: () => collectUsers(place),
          sshd: remembered(sshdPaths, () => collectSshd(place), now),
          "login-defs": () => collectLoginDefs(place),
          "password-quality": () => collectPasswordQuality(place),
          kernel: () => collectKernel(proc),
          directories: () => collectDirectories(place, accounts),
          executables: () => executables.collect(readInhabitedGroups(place.root)),
          addresses: () => collectAddresses(),
        },
        send: (chunks) => {
          spool.addInventory(chunks);
          sender.poke();
        },
        host_id,
        host_name,
        incarnation,
        inventory_wait_ms: config.inventory_wait_ms,
        executables_wait_ms: config.executables_wait_ms,
        logger,
        now,
      });
    }
  } catch (error) {
    state.close();
    throw error;
  }
}

function bootTimeOf(proc: ProcReader): number {
  const stat = proc.file("stat");
  const boot = stat.kind === "read" ? parseBootTime(stat.value) : undefined;
  if (boot === undefined) throw new Error(`${proc.root}/stat says no boot time: is ${proc.root} mounted?`);
  return boot;
}

/** Images met so far, to notice new ones; forgotten all at once past this. */
const images_max = 20_000;
