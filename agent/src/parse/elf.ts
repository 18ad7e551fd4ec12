/**
 * How an ELF executable was hardened, from its headers and a few tables: see elf(5). The reader is an argument, so that nothing but
 * the parts that count is read.
 *
 * A stripped static executable doesn't name what it calls, so whether it checks stack cookies is read off its code: on x86-64 the
 * check reads %fs:0x28, which nothing else does.
 */

/** Reads at an offset; fewer bytes where the file ends. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

export interface ElfFacts {
  readonly nx: boolean;
  readonly canary: boolean;
  readonly pie: boolean;
  readonly relro: "none" | "partial" | "full";
  readonly language: "c" | "go" | "rust" | "unknown";
}

/** Undefined where it isn't an ELF executable that this understands. */
export async function readElf(read: ReadAt): Promise<ElfFacts | undefined> {
  const header = parseHeader(await read(0, 64));
  if (!header) return undefined;
  const segments = parseSegments(header, await read(header.segments_offset, header.segments_count * header.segment_size));
  const sections = await readSections(header, read);
  const dynamic = await readDynamic(header, segments, read);
  const language = await languageOf(sections, read);
  const stack = segments.find((s) => s.type === segmentTypes.gnu_stack);
  const hasRelro = segments.some((s) => s.type === segmentTypes.gnu_relro);
  const interpreted = segments.some((s) => s.type === segmentTypes.interpreter);
  return {
    nx: stack !== undefined && (stack.flags & executable_flag) === 0,
    canary: language === "go" || (await checksStack(header, sections, segments, interpreted, read)),
    pie: header.type === shared_object_type && (interpreted || dynamic.pie),
    relro: hasRelro ? (dynamic.bindsNow ? "full" : "partial") : "none",
    language,
  };
}

interface Header {
  readonly wide: boolean;
  readonly little: boolean;
  readonly type: number;
  readonly machine: number;
  readonly segments_offset: number;
  readonly segment_size: number;
  readonly segments_count: number;
  readonly sections_offset: number;
  readonly section_size: number;
  readonly sections_count: number;
  readonly names_index: number;
}

function parseHeader(bytes: Buffer): Header | undefined {
  if (bytes.length < 52 || bytes.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const wide = bytes[4] === 2;
  const little = bytes[5] === 1;
  if (wide && bytes.length < 64) return undefined;
  const view = new Fields(bytes, wide, little);
  const header: Header = {
    wide,
    little,
    type: view.half(16),
    machine: view.half(18),
    segments_offset: view.address(wide ? 32 : 28),
    sections_offset: view.address(wide ? 40 : 32),
    segment_size: view.half(wide ? 54 : 42),
    segments_count: view.half(wide ? 56 : 44),
    section_size: view.half(wide ? 58 : 46),
    sections_count: view.half(wide ? 60 : 48),
    names_index: view.half(wide ? 62 : 50),
  };
  const isProgram = header.type === executable_type || header.type === shared_object_type;
  const sane =
    header.segment_size >= (wide ? 56 : 32) && (header.sections_count === 0 || header.section_size >= (wide ? 64 : 40));
  return isProgram && sane ? header : undefined;
}

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
}

function parseSegments(header: Header, bytes: Buffer): Segment[] {
  const segments: Segment[] = [];
  const { wide, little, segment_size } = header;
  for (let at = 0; at + segment_size <= bytes.length; at += segment_size) {
    const view = new Fields(bytes.subarray(at, at + segment_size), wide, little);
    segments.push({
      type: view.word(0),
      flags: view.word(wide ? 4 : 24),
      offset: view.address(wide ? 8 : 4),
      size: view.address(wide ? 32 : 16),
    });
  }
  return segments;
}

interface Section {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** Empty where the file has been stripped of them. */
async function readSections(header: Header, read: ReadAt): Promise<Section[]> {
  const { wide, little, section_size, sections_count, names_index } = header;
  if (sections_count === 0 || header.sections_offset === 0) return [];
  // The kernel doesn't look at this table, so it may say anything; what is far too large is left unread past the limit.
  const bytes = await read(header.sections_offset, Math.min(section_size * sections_count, sections_bytes_max));
  const raw: { name_offset: number; offset: number; size: number; type: number }[] = [];
  for (let at = 0; at + section_size <= bytes.length; at += section_size) {
    const view = new Fields(bytes.subarray(at, at + section_size), wide, little);
    const type = view.word(4);
    raw.push({ name_offset: view.word(0), type, offset: view.address(wide ? 24 : 16), size: view.address(wide ? 32 : 20) });
  }
  const table = raw[names_index];
  const names = table ? await read(table.offset, Math.min(table.size, names_bytes_max)) : Buffer.alloc(0);
  // A section without bits (.bss, or one that a stripped copy only mentions) stands nowhere in the file.
  return raw.map((s) => ({ name: textAt(names, s.name_offset), offset: s.offset, size: s.type === no_bits_type ? 0 : s.size }));
}

async function readDynamic(
  header: Header,
  segments: readonly Segment[],
  read: ReadAt,
): Promise<{ bindsNow: boolean; pie: boolean }> {
  const segment = segments.find((s) => s.type === segmentTypes.dynamic);
  let bindsNow = false;
  let pie = false;
  if (!segment) return { bindsNow, pie };
  const size = header.wide ? 16 : 8;
  const bytes = await read(segment.offset, Math.min(segment.size, dynamic_bytes_max));
  const view = new Fields(bytes, header.wide, header.little);
  for (let at = 0; at + size <= bytes.length; at += size) {
    const tag = view.address(at);
    const value = view.address(at + size / 2);
    if (tag === dynamicTags.end) break;
    if (tag === dynamicTags.bind_now) bindsNow = true;
    if (tag === dynamicTags.flags) bindsNow ||= (value & 0x8) !== 0;
    if (tag === dynamicTags.flags_1) {
      bindsNow ||= value % 2 === 1;
      pie = Math.floor(value / 0x08000000) % 2 === 1;
    }
  }
  return { bindsNow, pie };
}

/** A compiler leaves its name in .comment, which stripping keeps; Go leaves sections of its own. */
async function languageOf(sections: readonly Section[], read: ReadAt): Promise<ElfFacts["language"]> {
  const names = new Set(sections.map((s) => s.name));
  if (names.has(".go.buildinfo") || names.has(".gopclntab") || names.has(".note.go.buildid")) return "go";
  const comment = sections.find((s) => s.name === ".comment");
  const compiler = comment ? (await read(comment.offset, Math.min(comment.size, comment_bytes_max))).toString("latin1") : "";
  if (/rustc version/.test(compiler)) return "rust";
  const constants = sections.find((s) => s.name === ".rodata");
  if (constants && (await contains(constants, [Buffer.from("/rustc/"), Buffer.from("library/std/src/")], rodata_bytes_max, read)))
    return "rust";
  return /GCC|clang|LLVM/.test(compiler) || names.has(".dynstr") ? "c" : "unknown";
}

async function checksStack(
  header: Header,
  sections: readonly Section[],
  segments: readonly Segment[],
  interpreted: boolean,
  read: ReadAt,
): Promise<boolean> {
  const needle = [Buffer.from("__stack_chk_fail\0")];
  for (const name of [".dynstr", ".strtab"]) {
    const table = sections.find((s) => s.name === name);
    if (table && (await contains(table, needle, strings_bytes_max, read))) return true;
  }
  const named = sections.some((s) => s.name === ".strtab");
  if (interpreted && sections.length > 0) return false; // it would import the check
  if (named || header.machine !== machine_x86_64) return sections.length === 0 && segmentsHold(segments, needle, read);
  const code = segments.find((s) => s.type === segmentTypes.load && (s.flags & executable_flag) !== 0);
  return code !== undefined && contains(code, cookieReads, code_bytes_max, read);
}

/** Without sections, the strings lie somewhere in what is loaded. */
async function segmentsHold(segments: readonly Segment[], needles: readonly Buffer[], read: ReadAt): Promise<boolean> {
  let left = strings_bytes_max;
  for (const segment of segments) {
    if (segment.type !== segmentTypes.load) continue;
    if (await contains(segment, needles, left, read)) return true;
    left -= Math.min(left, segment.size);
  }
  return false;
}

/** mov, sub and xor of %fs:0x28 with any register, as compilers write them: 64 48|4c 8b|2b|33 xx 25 28 00 00 00 */
const cookieReads: readonly Buffer[] = [0x48, 0x4c].flatMap((prefix) =>
  [0x8b, 0x2b, 0x33, 0x3b].flatMap((operation) =>
    [0x04, 0x0c, 0x14, 0x1c, 0x2c, 0x34, 0x3c].map((register) =>
      Buffer.from([0x64, prefix, operation, register, 0x25, 0x28, 0, 0, 0]),
    ),
  ),
);

/** Looks for any of the needles, in slices that overlap by the longest. */
async function contains(
  range: { offset: number; size: number },
  needles: readonly Buffer[],
  bytes_max: number,
  read: ReadAt,
): Promise<boolean> {
  const overlap = Math.max(...needles.map((n) => n.length)) - 1;
  const end = range.offset + Math.min(range.size, bytes_max);
  for (let at = range.offset; at < end; at += slice_bytes - overlap) {
    const bytes = await read(at, Math.min(slice_bytes, end - at));
    if (bytes.length === 0) return false;
    if (needles.some((needle) => bytes.includes(needle))) return true;
  }
  return false;
}

/** Numbers in the file's width and byte order. */
class Fields {
  constructor(
    private readonly bytes: Buffer,
    private readonly wide: boolean,
    private readonly little: boolean,
  ) {}

  half(at: number): number {
    return this.little ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at);
  }

  word(at: number): number {
    return this.little ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at);
  }

  /** Above 2^53 it loses digits: no offset of a real file is that large. */
  address(at: number): number {
    if (!this.wide) return this.word(at);
    return Number(this.little ? this.bytes.readBigUInt64LE(at) : this.bytes.readBigUInt64BE(at));
  }
}

function textAt(bytes: Buffer, at: number): string {
  const name = bytes.toString("latin1", at, at + name_length_max);
  const end = name.indexOf("\0");
  return end < 0 ? name : name.slice(0, end);
}

const executable_type = 2;
const shared_object_type = 3;
const machine_x86_64 = 62;
const executable_flag = 1;
const no_bits_type = 8;
const segmentTypes = { load: 1, dynamic: 2, interpreter: 3, gnu_stack: 0x6474e551, gnu_relro: 0x6474e552 } as const;
const dynamicTags = { end: 0, bind_now: 24, flags: 30, flags_1: 0x6ffffffb } as const;

const slice_bytes = 256 * 1024;
/** 4,096 sections of a 64-bit file; executables have some dozens. */
const sections_bytes_max = 256 * 1024;
const names_bytes_max = 1024 * 1024;
/** Those that are looked for are shorter. */
const name_length_max = 64;
const dynamic_bytes_max = 64 * 1024;
const comment_bytes_max = 4_096;
const strings_bytes_max = 64 * 1024 * 1024;
/** Rust's paths stand near the beginning of its constants more often than not. */
const rodata_bytes_max = 8 * 1024 * 1024;
const code_bytes_max = 8 * 1024 * 1024;
