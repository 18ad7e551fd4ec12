/** The operating system: /etc/os-release, and what uname says. */
import { arch, release } from "node:os";
import { parseOsRelease } from "../parse/os-release";
import { readText } from "../read/files";
import { type Collected, collected, type Place } from "./section";

export function collectOs({ root }: Place): Collected<"os"> {
  const etc = readText(`${root}/etc/os-release`);
  const found = etc.kind === "read" ? etc : readText(`${root}/usr/lib/os-release`);
  const values = found.kind === "read" ? parseOsRelease(found.value) : {};
  const content = {
    id: values.ID ?? "linux", // the default of os-release(5)
    version_id: values.VERSION_ID ?? "",
    pretty_name: values.PRETTY_NAME ?? values.NAME ?? "Linux",
    kernel_release: release(),
    architecture: machineName(arch()),
  };
  if (found.kind !== "read") return { status: "partial", reason: `os-release is ${found.kind}`, content };
  return collected<"os">(content);
}

/** As uname -m says it. */
function machineName(name: string): string {
  return ({ x64: "x86_64", arm64: "aarch64", ia32: "i686" } as Record<string, string>)[name] ?? name;
}
