/** Kernel settings by their sysctl names; cpu.nx is yes where the processor can mark memory as not executable. */
import type { ProcReader } from "../read/proc";
import { type Collected, collected } from "./section";

export function collectKernel(proc: ProcReader): Collected<"kernel"> {
  const settings: Record<string, string> = {};
  const sources: Record<string, string> = {};
  const denied: string[] = [];
  for (const name of names) {
    const path = `sys/${name.replaceAll(".", "/")}`;
    const value = proc.file(path);
    if (value.kind === "denied") denied.push(name);
    if (value.kind !== "read") continue; // this kernel doesn't have it
    settings[name] = value.value.trim().replace(/\s+/g, " ");
    sources[name] = `/proc/${path}`;
  }
  const processor = proc.file("cpuinfo");
  const nx = processor.kind === "read" ? noExecute(processor.value) : undefined;
  if (nx !== undefined) {
    settings["cpu.nx"] = nx ? "yes" : "no";
    sources["cpu.nx"] = "/proc/cpuinfo";
  }
  if (denied.length > 0)
    return { status: "partial", reason: `not readable: ${denied.join(", ")}`, content: { settings, sources } };
  return collected<"kernel">({ settings, sources });
}

/** The flag of x86; 64-bit ARM always can, and lists Features instead. Undefined for what isn't known. */
export function noExecute(cpuinfo: string): boolean | undefined {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1];
  if (flags !== undefined) return flags.split(" ").includes("nx");
  return /^CPU architecture\s*:\s*8/m.test(cpuinfo) ? true : undefined;
}

const names = [
  "kernel.randomize_va_space",
  "kernel.kptr_restrict",
  "kernel.dmesg_restrict",
  "kernel.yama.ptrace_scope",
  "kernel.perf_event_paranoid",
  "kernel.unprivileged_bpf_disabled",
  "kernel.unprivileged_userns_clone",
  "kernel.kexec_load_disabled",
  "kernel.modules_disabled",
  "kernel.sysrq",
  "kernel.core_pattern",
  "kernel.core_uses_pid",
  "vm.mmap_min_addr",
  "fs.protected_hardlinks",
  "fs.protected_symlinks",
  "fs.protected_fifos",
  "fs.protected_regular",
  "fs.suid_dumpable",
  "net.core.bpf_jit_harden",
  "net.ipv4.ip_forward",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_rfc1337",
  "net.ipv4.icmp_echo_ignore_broadcasts",
  "net.ipv4.icmp_ignore_bogus_error_responses",
  ...["all", "default"].flatMap((of) =>
    ["accept_redirects", "secure_redirects", "send_redirects", "accept_source_route", "rp_filter", "log_martians"].map(
      (name) => `net.ipv4.conf.${of}.${name}`,
    ),
  ),
  ...["all", "default"].flatMap((of) =>
    ["accept_redirects", "accept_source_route", "accept_ra", "forwarding", "disable_ipv6"].map(
      (name) => `net.ipv6.conf.${of}.${name}`,
    ),
  ),
];
