/**
 * An embedded Assay: the services process and the agent, as children of this process, which keeps them running.
 *
 *   prepare the data directory ─▶ services (log, engine, ingest, correlator, evaluator, report API) ─▶ agent ─▶ running
 *   stop: agent (sends its last batch) ─▶ services (each finishes its work in hand) ─▶ the lock is given back
 *
 * Both children hold the other end of their stdin and end by themselves when this process is gone.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { StateFolder } from "@assay/agent/deliver/state-folder";
import { isOutOfRoom } from "@assay/store/disk-full";
import { onKafka } from "../distributed/settings";
import { type Io, UserError } from "../io";
import { agentScript, codePaths, rulesDirectory, servicesScript } from "./code-paths";
import { type DataDirectory, giveToServices, prepareDataDirectory, secretIn, sha256 } from "./data-directory";
import { hasNoRoom } from "./disk-full";
import { lockFile } from "./lock-file";
import { LogFile } from "./log-file";
import {
  type AssessmentPlan,
  type FromServices,
  type Ports,
  type ServicesPlan,
  services_exit_codes,
  type ToServices,
} from "./messages";
import { checkPorts, listen_host } from "./ports";
import { rulePackages } from "./rule-packages";
import { reachingUser, servicesUser } from "./services-user";
import type { EmbeddedSettings } from "./settings";
import { type ChildPlan, SupervisedChild } from "./supervised-child";
import { keepWindows } from "./windows-file";

export interface EmbeddedOptions {
  readonly io: Io;
  readonly settings: EmbeddedSettings;
  readonly data: DataDirectory;
  readonly ports: Ports;
  readonly assessment: AssessmentPlan;
  /** What it is doing, or what happened to it: a line for the user. */
  readonly onNotice: (line: string) => void;
  /** Aborts the start. */
  readonly signal: AbortSignal;
}

export interface Embedded {
  readonly report_api_url: string;
  readonly ingest_url: string;
  readonly metrics_url: string;
  readonly api_key: string;
  readonly host_id: string;
  readonly assessment_id: string;
  /** What keeps it from working for now, for the user. */
  trouble(): string | undefined;
  /** Rejects when it can't go on. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
  /** Ends the children by SIGKILL. */
  killNow(): void;
}

/** What an ended predecessor's children may still hold is waited for this long. */
const left_behind_wait_ms = 10_000;
const services_start_wait_ms = 120_000;
const services_stop_wait_ms = 60_000;
const agent_stop_wait_ms = 10_000;

/** Throws UserError where it can't start; nothing is left running then. */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  try {
    return await start(options);
  } catch (error) {
    if (!isOutOfRoom(error)) throw error;
    throw new UserError(`can't start: the disk that holds ${options.data.root} is full (${error.message})`);
  }
}

async function start(options: EmbeddedOptions): Promise<Embedded> {
  const { data, io, settings } = options;
  const rules_directory = settings.rules_directory ?? rulesDirectory;
  await rulePackages(rules_directory);
  const wanted = servicesUser({ uid: io.uid, env: { ...io.env, ASSAY_USER: settings.user } }, [...codePaths(), rules_directory]);
  prepareDataDirectory(data, wanted, io.uid);
  const lock = lockFile(data.lock, `the data directory ${data.root}`);
  const undo: (() => Promise<void> | void)[] = [() => lock.release()];
  try {
    giveToServices(data, wanted, io.uid);
    const user = reachingUser(wanted, data.services);
    if (user !== wanted) giveToServices(data, user, io.uid);
    if (user.warning !== undefined) options.onNotice(`warning: ${user.warning}`);
    keepWindows(onKafka(io.env) ? data.kafka_windows_file : data.windows_file, {
      window_ms: settings.window_ms,
      lateness_ms: settings.lateness_ms,
    });
    const wait_ms = lock.was_left_behind ? left_behind_wait_ms : 0;
    await checkPorts(options.ports, wait_ms);
    const host_id = await hostId(data.agent, left_behind_wait_ms);
    const api_key = secretIn(data.key_file, io.uid);
    const enrolment_secret = settings.enrol_secret ?? secretIn(data.secret_file, io.uid);
    const plan: ServicesPlan = {
      directory: data.services,
      log_bytes_max: settings.log_bytes_max,
      rules_directory,
      host_id,
      shares_log: onKafka(io.env),
      enrolment_secret,
      api_key_sha256: sha256(api_key),
      ports: options.ports,
      assessment: options.assessment,
    };
    const services = new Services(options, plan, user.other);
    undo.unshift(() => services.stop());
    const ready = await services.firstReady;
    const agent = startAgent(options, ready, enrolment_secret);
    undo.unshift(() => agent.stop());
    return {
      report_api_url: url(settings.report_api_host, ready.ports.report_api),
      ingest_url: url(settings.ingest_host, ready.ports.ingest),
      metrics_url: url(listen_host, ready.ports.metrics),
      api_key,
      host_id,
      assessment_id: ready.assessment_id,
      trouble: () => services.trouble ?? agent.trouble(),
      failed: Promise.race([services.child.failed, agent.failed]),
      stop: () => undoAll(undo),
      killNow() {
        agent.killNow();
        services.child.killNow();
        lock.release();
      },
    };
  } catch (error) {
    await undoAll(undo);
    throw error;
  }
}

async function undoAll(undo: (() => Promise<void> | void)[]): Promise<void> {
  for (const step of undo.splice(0)) await step();
}

/** Where this machine reaches what listens there. */
function url(host: string, port: number): string {
  const reached = host === "0.0.0.0" || host === "::" ? listen_host : host;
  return `http://${reached.includes(":") ? `[${reached}]` : reached}:${port}`;
}

/** The agent's id of this host, made here on the first start so that the application can select it. */
async function hostId(directory: string, wait_ms: number): Promise<string> {
  const deadline = Date.now() + wait_ms;
  for (;;) {
    try {
      const state = StateFolder.open(directory);
      const id = state.hostId("/");
      state.close();
      return id;
    } catch (error) {
      // An agent whose supervisor was killed ends by itself within a moment.
      if (Date.now() >= deadline) throw new UserError((error as Error).message);
      await sleep(200);
    }
  }
}

type Ready = Extract<FromServices, { type: "ready" }>;

/** The services process. Where its first start fails it isn't tried again; later it is, as often as SupervisedChild allows. */
class Services {
  readonly child: SupervisedChild;
  readonly firstReady: Promise<Ready>;
  trouble: string | undefined;
  private readonly log: LogFile;

  constructor(options: EmbeddedOptions, first: ServicesPlan, user: ChildPlan["user"] | undefined) {
    let plan = first;
    let settle: { resolve: (ready: Ready) => void; reject: (error: Error) => void } | undefined;
    let failure: string | undefined;
    this.log = new LogFile(join(options.data.logs, "services.log"));
    const ready = new Promise<Ready>((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.child = new SupervisedChild({
      name: "services process",
      command: [process.execPath, "--enable-source-maps", servicesScript],
      env: childEnv(options.io, "ASSAY_"),
      user: user && { uid: user.uid, gid: user.gid },
      log: this.log,
      stop_wait_ms: services_stop_wait_ms,
      askToStop: (child) => void child.send({ type: "stop" } satisfies ToServices, () => undefined),
      onStart: (child) => {
        failure = undefined;
        child.send({ type: "start", plan } satisfies ToServices, () => undefined);
      },
      onMessage: (message) => {
        const told = message as FromServices;
        if (told.type === "doing" && settle) options.onNotice(told.what);
        if (told.type === "failed") failure = told.message;
        if (told.type === "disk_full") {
          const before = this.trouble;
          this.trouble = told.what && noRoom(options.data, "the ClickHouse engine", told.what);
          if (before === undefined && this.trouble !== undefined) options.onNotice(`warning: ${this.trouble}`);
          if (this.trouble === undefined) options.onNotice("there is room on the disk again for the ClickHouse engine");
        }
        if (told.type !== "ready") return;
        this.trouble = undefined;
        // Whoever knows the ports goes on with them after a restart.
        plan = { ...plan, ports: told.ports };
        if (settle) settle.resolve(told);
        else options.onNotice("the services run again");
        settle = undefined;
      },
      endedWithoutRoom: (code) => code === services_exit_codes.disk_full || hasNoRoom(options.data.root),
      onRestart: (how, { wait_ms, without_room }) => {
        // Killed from outside is no fault that a second start would meet again.
        if (!settle || (failure === undefined && how.startsWith("killed by"))) {
          this.trouble = without_room > 0 ? noRoom(options.data, "the services process", failure ?? how) : undefined;
          if (without_room === 1) options.onNotice(`warning: ${this.trouble}`);
          if (without_room > 0) return;
          options.onNotice(`the services process ended (${failure ?? how}); it is started again in ${wait_ms / 1_000} s`);
          return;
        }
        settle.reject(
          new UserError(failure ?? `the services process ended while it started (${how}); its log is ${this.log.path}`),
        );
      },
    });
    this.firstReady = within(ready, services_start_wait_ms, options.signal, this.log.path);
  }

  async stop(): Promise<void> {
    await this.child.stop();
    this.log.close();
  }
}

/** For the user, who alone can make room. */
function noRoom(data: DataDirectory, who: string, what: string): string {
  return `the disk that holds ${data.root} is full: ${who} is down, and is tried again until there is room (${what})`;
}

function within(ready: Promise<Ready>, wait_ms: number, signal: AbortSignal, log_path: string): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(late);
      signal.removeEventListener("abort", onAbort);
    };
    const onAbort = () => {
      settle();
      reject(new InterruptedError("interrupted"));
    };
    const late = setTimeout(() => {
      settle();
      reject(new UserError(`the services did not start within ${wait_ms / 1_000} s; their log is ${log_path}`));
    }, wait_ms);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    ready.then(resolve, reject).finally(settle);
  });
}

/** Ctrl-C while it started. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}

function startAgent(
  options: EmbeddedOptions,
  ready: Ready,
  enrolment_secret: string,
): Pick<SupervisedChild, "stop" | "killNow" | "failed"> & Pick<Embedded, "trouble"> {
  const log = new LogFile(join(options.data.logs, "agent.log"));
  const own = [
    ready.ports.report_api,
    ready.ports.ingest,
    ready.ports.metrics,
    ...(ready.engine_port === undefined ? [] : [ready.engine_port]),
  ];
  const child = new SupervisedChild({
    name: "agent",
    command: [process.execPath, "--enable-source-maps", agentScript],
    env: {
      ...childEnv(options.io, "ASSAY_AGENT_"),
      ASSAY_AGENT_INGEST_URL: url(options.settings.ingest_host, ready.ports.ingest),
      ASSAY_AGENT_STATE: options.data.agent,
      ASSAY_AGENT_ENROL_SECRET: enrolment_secret,
      ASSAY_AGENT_ENROL_SECRET_FILE: "",
      ASSAY_AGENT_WITH_PARENT: "true",
      ASSAY_AGENT_PROBE_ONCE_PORTS: own.join(","),
      ASSAY_AGENT_WINDOW_MS: options.io.env.ASSAY_AGENT_WINDOW_MS || options.io.env.ASSAY_WINDOW_MS || "",
    },
    log,
    // A Ctrl-C in the terminal is for the supervisor alone: for the agent a second signal would mean to end at once.
    own_group: true,
    stop_wait_ms: agent_stop_wait_ms,
    askToStop: (agent) => agent.kill("SIGTERM"),
    endedWithoutRoom: () => hasNoRoom(options.data.root),
    onRestart: (how, { wait_ms, without_room }) => {
      if (without_room === 0) options.onNotice(`the agent ended (${how}); it is started again in ${wait_ms / 1_000} s`);
      if (without_room === 1) options.onNotice(`warning: ${noRoom(options.data, "the agent", how)}`);
    },
  });
  return {
    trouble: () => (child.waits_for_room ? noRoom(options.data, "the agent", "it ended") : undefined),
    failed: child.failed,
    killNow: () => child.killNow(),
    stop: async () => {
      await child.stop();
      log.close();
    },
  };
}

/** Settings and what a process needs to find its things; nothing else of the user's environment. */
function childEnv(io: Io, prefix: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(io.env)) {
    if (value !== undefined && (name.startsWith(prefix) || passedOn.has(name))) env[name] = value;
  }
  return env;
}
const passedOn = new Set(["PATH", "TZ", "LANG", "TMPDIR", "NODE_EXTRA_CA_CERTS"]);
