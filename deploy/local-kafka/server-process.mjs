/**
 * A server in a child process (Java), its output in a log file.
 *
 * It is in a session of its own, so that Ctrl-C at a terminal reaches it only through us, and in our order. A JVM doesn't notice that its parent is gone, so
 * a shell of two lines waits at its side for the end of a pipe from here, and then kills it: however this process ends, so does the server.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const stop_wait_ms = 30_000;
const answer_wait_ms = 120_000;
const poll_ms = 50;
const last_lines = 15;

export function startServerProcess({ name, command, log_file, env = {} }) {
  const log = openSync(log_file, "a");
  const [file, ...args] = command;
  const child = spawn(file, args, { stdio: ["ignore", log, log], detached: true, env: { ...process.env, ...env } });
  closeSync(log);
  let guard;
  if (child.pid !== undefined) {
    guard = spawn("/bin/sh", ["-c", 'read -r _; kill -KILL "$1"', "guard", String(child.pid)], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    guard.stdin.on("error", () => undefined); // it was ended with the server
  }
  let ended = false;
  const end = new Promise((resolve) => {
    const over = (how) => {
      ended = true;
      guard?.kill("SIGKILL"); // before the pid can be another's
      resolve(how);
    };
    child.once("error", (error) => over(error.message));
    child.once("exit", (code, signal) => over(signal ? `killed by ${signal}` : `exit code ${code}`));
  });

  return {
    name,
    pid: child.pid,
    /** Resolves with how it ended; never rejects. */
    ended: end,
    /** Resolves once `answers` does; rejects when the server ended first, or `signal` did, or with what it last logged after two minutes. */
    async waitUntil(answers, signal) {
      const deadline = Date.now() + answer_wait_ms;
      while (!ended) {
        signal.throwIfAborted();
        if (await answers()) return;
        if (Date.now() > deadline)
          throw new Error(`the ${name} doesn't answer after ${answer_wait_ms / 1000} s${lastLines(log_file)}`);
        await Promise.race([sleep(poll_ms), end]);
      }
      throw new Error(`the ${name} ended: ${await end}${lastLines(log_file)}`);
    },
    /** SIGTERM, and SIGKILL if that isn't heard. */
    async stop() {
      if (ended) return;
      child.kill("SIGTERM");
      child.kill("SIGCONT"); // it may have been frozen
      const late = setTimeout(() => child.kill("SIGKILL"), stop_wait_ms);
      await end;
      clearTimeout(late);
    },
  };
}

function lastLines(log_file) {
  const lines = readFileSync(log_file, "utf8").trimEnd().split("\n").slice(-last_lines);
  return `; ${log_file} ends with:\n${lines.join("\n")}`;
}
