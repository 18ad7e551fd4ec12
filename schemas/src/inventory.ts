/** The content of each inventory section, as the agent's JSON holds it. Absent things are left out, not null. */

import type { InventorySection } from "./generated/types";

export interface InventoryContents {
  readonly os: OsSection;
  readonly packages: PackagesSection;
  readonly users: UsersSection;
  readonly sshd: SettingsSection;
  readonly "login-defs": SettingsSection;
  readonly "password-quality": SettingsSection;
  readonly kernel: SettingsSection;
  readonly directories: DirectoriesSection;
  readonly executables: ExecutablesSection;
  readonly addresses: AddressesSection;
}
export type SectionName = keyof InventoryContents;
export const sectionNames = [
  "os",
  "packages",
  "users",
  "sshd",
  "login-defs",
  "password-quality",
  "kernel",
  "directories",
  "executables",
  "addresses",
] as const satisfies readonly SectionName[];

/** From /etc/os-release and uname. */
export interface OsSection {
  /** os-release ID, such as debian. */
  readonly id: string;
  readonly version_id: string;
  readonly pretty_name: string;
  readonly kernel_release: string;
  readonly architecture: string;
}

export interface PackagesSection {
  readonly ecosystem: "dpkg" | "none";
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly architecture: string;
    readonly source: string;
    readonly source_version: string;
  }[];
}

/** From /etc/passwd, /etc/group and, where readable, /etc/shadow (never a hash: only whether there is a password). */
export interface UsersSection {
  readonly users: readonly {
    readonly name: string;
    readonly uid: number;
    readonly gid: number;
    readonly home: string;
    readonly shell: string;
    /** unknown where shadow isn't readable. */
    readonly password: "set" | "empty" | "locked" | "unknown";
    /** Days, as shadow's fifth field says; absent where unset or unreadable. */
    readonly password_max_days?: number;
  }[];
}

/**
 * Effective settings of one program, one value each. Keys are written as the program's own documentation writes them
 * (PermitRootLogin, PASS_MAX_DAYS, minlen, kernel.randomize_va_space).
 */
export interface SettingsSection {
  readonly settings: Readonly<Record<string, string>>;
  /** Where each value comes from: a file and line, a command, or "default". */
  readonly sources: Readonly<Record<string, string>>;
}

export interface DirectoriesSection {
  readonly directories: readonly FileFacts[];
}
export interface FileFacts {
  readonly path: string;
  /** Octal, four digits: 0755, 1777. */
  readonly mode: string;
  readonly owner: string;
  readonly group: string;
  /** Whether someone besides root can write it, group membership and sticky bit considered: the bits alone, not ACLs. */
  readonly writable_by: "root" | "owner" | "group" | "world";
}

/** One entry per distinct executable that runs, found by path, device and inode. */
export interface ExecutablesSection {
  readonly executables: readonly {
    readonly path: string;
    readonly deleted: boolean;
    /** Of the processes that run it: users, and whether root is one. */
    readonly users: readonly string[];
    readonly runs_as_root: boolean;
    /** A command line of one of them. */
    readonly command_line: string;
    readonly format: "elf" | "script" | "other";
    /** Absent where not an ELF file. nx: PT_GNU_STACK without execute; canary: refers to __stack_chk_fail or is Go, which needs none. */
    readonly hardening?: {
      readonly nx: boolean;
      readonly canary: boolean;
      readonly pie: boolean;
      readonly relro: "none" | "partial" | "full";
      /** c, go, rust or unknown: stack cookies aren't expected of Go. */
      readonly language: string;
    };
    /** Code mapped into root's processes, the executable among it, that someone besides root may replace or change. */
    readonly writable_code: readonly {
      readonly path: string;
      readonly writable_by: "owner" | "group" | "world";
      readonly owner: string;
    }[];
  }[];
  /** Processes whose executable could not be read. */
  readonly unreadable: number;
}

export interface AddressesSection {
  readonly addresses: readonly { readonly address: string; readonly interface: string; readonly prefix: number }[];
}

/** The key of a section's chunk on assay.inventory; its partition is the host's. */
export function inventoryKey({ host_id, section, chunk }: Pick<InventorySection, "host_id" | "section" | "chunk">): string {
  return `${host_id}/${section}/${chunk}`;
}
