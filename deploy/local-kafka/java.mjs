/** Java, and the tools that come with it. */
import { spawn } from "node:child_process";
import { join } from "node:path";

const version_min = 17;
const missing = `Java is missing: install version ${version_min} or newer (Debian, Ubuntu: apt-get install openjdk-17-jre-headless), or set JAVA_HOME`;

/** `java` or `keytool`: of JAVA_HOME when that is set, else of PATH. */
export function javaTool(name) {
  const home = process.env.JAVA_HOME;
  return home ? join(home, "bin", name) : name;
}

/** Rejects with what to install unless there is a Java that runs the servers. */
export async function checkJava() {
  const said = await run([javaTool("java"), "-version"], missing);
  const version = Number(/version "(\d+)/.exec(said)?.[1] ?? 0);
  if (version < version_min)
    throw new Error(`Java ${version} is too old: the servers need ${version_min} or newer; JAVA_HOME may name another`);
}

/** Runs a tool to its end, or that of `signal`; resolves with what it wrote. `missing` is the error when there is no such tool. */
export function run(command, missing, signal) {
  const [file, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], signal });
    let said = "";
    const hear = (chunk) => {
      said += chunk;
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", (error) => reject(error.code === "ENOENT" ? new Error(missing) : error));
    child.once("close", (code, signal) => {
      if (code === 0) resolve(said);
      else reject(new Error(`${file} ended with ${signal ?? `exit code ${code}`}:\n${said.trim()}`));
    });
  });
}

export function runJavaTool(name, args, signal) {
  return run([javaTool(name), ...args], missing, signal);
}
