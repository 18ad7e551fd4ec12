import { open } from "node:fs/promises";
import { type ElfFacts, readElf } from "@assay/agent/parse/elf";

async function ofFile(path: string): Promise<ElfFacts | undefined> {
  const handle = await open(path, "r");
  try {
    return await readElf(async (offset, length) => {
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await handle.read(buffer, 0, length, offset);
      return buffer.subarray(0, bytesRead);
    });
  } finally {
    await handle.close();
  }
}

function ofBytes(bytes: Buffer): Promise<ElfFacts | undefined> {
  return readElf(async (offset, length) => bytes.subarray(offset, offset + length));
}

interface Built {
  readonly type?: 2 | 3;
  readonly segments: readonly { readonly type: number; readonly flags?: number; readonly content?: Buffer }[];
  readonly sections?: readonly { readonly name: string; readonly content: Buffer }[];
}

/** A 64-bit little-endian file of the parts given. */
function build({ type = 3, segments, sections = [] }: Built): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.set([2, 1, 1], 4);
  header.writeUInt16LE(type, 16);
  header.writeUInt16LE(62, 18);
  const parts: Buffer[] = [header, Buffer.alloc(56 * segments.length)];
  let at = 64 + 56 * segments.length;
  const place = (content: Buffer) => {
    parts.push(content);
    at += content.length;
    return at - content.length;
  };
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(segments.length, 56);
  for (const [i, { type: kind, flags = 4, content = Buffer.alloc(0) }] of segments.entries()) {
    const entry = (parts[1] as Buffer).subarray(56 * i);
    entry.writeUInt32LE(kind, 0);
    entry.writeUInt32LE(flags, 4);
    entry.writeBigUInt64LE(BigInt(place(content)), 8);
    entry.writeBigUInt64LE(BigInt(content.length), 32);
  }
  if (sections.length === 0) return Buffer.concat(parts);
  const all = [...sections, { name: ".shstrtab", content: Buffer.alloc(0) }];
  const names = Buffer.from(`\0${all.map((s) => `${s.name}\0`).join("")}`);
  const table = Buffer.alloc(64 * all.length);
  for (const [i, { name, content }] of all.entries()) {
    const entry = table.subarray(64 * i);
    const body = name === ".shstrtab" ? names : content;
    entry.writeUInt32LE(names.indexOf(`${name}\0`), 0);
    entry.writeUInt32LE(1, 4);
    entry.writeBigUInt64LE(BigInt(place(body)), 24);
    entry.writeBigUInt64LE(BigInt(body.length), 32);
  }
  header.writeBigUInt64LE(BigInt(place(table)), 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(all.length, 60);
  header.writeUInt16LE(all.length - 1, 62);
  return Buffer.concat(parts);
}

function dynamic(...entries: readonly (readonly [tag: number, value: number])[]): Buffer {
  const bytes = Buffer.alloc(16 * (entries.length + 1));
  for (const [i, [tag, value]] of entries.entries()) {
    bytes.writeBigUInt64LE(BigInt(tag), 16 * i);
    bytes.writeBigUInt64LE(BigInt(value), 16 * i + 8);
  }
  return bytes;
}

const stack = { type: 0x6474e551, flags: 6 };
const relro = { type: 0x6474e552 };
const interpreter = { type: 3, content: Buffer.from("/lib/ld.so\0") };
const imports = (names: string) => ({ name: ".dynstr", content: Buffer.from(`\0${names}\0`) });

describe("built files", () => {
  it("all protections", async () => {
    const segments = [stack, relro, interpreter, { type: 2, content: dynamic([30, 8], [0x6ffffffb, 0x08000001]) }];
    expect(await ofBytes(build({ segments, sections: [imports("__stack_chk_fail\0puts")] }))).toEqual({
      nx: true,
      canary: true,
      pie: true,
      relro: "full",
      language: "c",
    });
  });

  it("none of them", async () => {
    const segments = [{ ...stack, flags: 7 }, interpreter, { type: 2, content: dynamic() }];
    expect(await ofBytes(build({ type: 2, segments, sections: [imports("puts")] }))).toEqual({
      nx: false,
      canary: false,
      pie: false,
      relro: "none",
      language: "c",
    });
  });

  it("no word about the stack means that it is executable", async () => {
    expect((await ofBytes(build({ segments: [interpreter] })))?.nx).toBe(false);
  });

  it("lazy binding leaves relro partial; each of three ways makes it full", async () => {
    const relroOf = async (...entries: [number, number][]) =>
      (await ofBytes(build({ segments: [relro, interpreter, { type: 2, content: dynamic(...entries) }] })))?.relro;
    expect(await relroOf([1, 1])).toBe("partial");
    expect(await relroOf([24, 0])).toBe("full");
    expect(await relroOf([30, 8])).toBe("full");
    expect(await relroOf([0x6ffffffb, 1])).toBe("full");
  });

  it("a shared object without an interpreter is no position-independent executable, a static one that says so is", async () => {
    expect((await ofBytes(build({ segments: [{ type: 2, content: dynamic() }] })))?.pie).toBe(false);
    expect((await ofBytes(build({ segments: [{ type: 2, content: dynamic([0x6ffffffb, 0x08000000]) }] })))?.pie).toBe(true);
  });

  it("a table of sections that is far too large, or names without an end, are cut", async () => {
    const segments = [{ ...stack }, interpreter];
    const file = build({ segments, sections: [{ name: "a".repeat(100_000), content: Buffer.alloc(0) }] });
    file.writeUInt16LE(65_535, 58); // each entry's size
    file.writeUInt16LE(65_535, 60); // their number
    let asked_max = 0;
    // As a sparse file of any length would: what isn't there is zeros.
    const facts = await readElf(async (offset, length) => {
      asked_max = Math.max(asked_max, length);
      if (length > 4 * 1024 * 1024) return Buffer.alloc(0);
      const bytes = Buffer.alloc(length);
      file.copy(bytes, 0, offset);
      return bytes;
    });
    expect(facts).toMatchObject({ nx: true });
    expect(asked_max).toBeLessThanOrEqual(1024 * 1024);
  });

  it("Go needs no stack cookies", async () => {
    const sections = [{ name: ".go.buildinfo", content: Buffer.from("\xff Go buildinf:") }];
    expect(await ofBytes(build({ type: 2, segments: [stack], sections }))).toMatchObject({ language: "go", canary: true });
  });

  it("Rust is told by its compiler's name", async () => {
    const sections = [imports("puts"), { name: ".comment", content: Buffer.from("rustc version 1.80.0\0GCC: (Debian)\0") }];
    expect(await ofBytes(build({ segments: [interpreter], sections }))).toMatchObject({ language: "rust", canary: false });
  });

  it("a static stripped executable shows the check in its code", async () => {
    const check = Buffer.from([0x90, 0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0xc3]);
    const of = (content: Buffer) => ofBytes(build({ type: 2, segments: [stack, { type: 1, flags: 5, content }] }));
    expect(await of(check)).toMatchObject({ canary: true, language: "unknown" });
    expect(await of(Buffer.alloc(64, 0x90))).toMatchObject({ canary: false, language: "unknown" });
  });
});

it("is nothing where the file is no ELF executable", async () => {
  expect(await ofBytes(Buffer.from("#!/bin/sh\n"))).toBeUndefined();
  expect(await ofBytes(Buffer.alloc(0))).toBeUndefined();
  expect(await ofBytes(build({ segments: [stack] }).subarray(0, 40))).toBeUndefined();
});

it("survives tables that point outside the file", async () => {
  const bytes = build({ segments: [stack, interpreter], sections: [imports("puts")] });
  for (let cut = 64; cut < bytes.length; cut += 16) {
    await ofBytes(bytes.subarray(0, cut)).catch((error: unknown) => expect(error).toBeInstanceOf(RangeError));
  }
});

it("reads what really runs here", async () => {
  expect(await ofFile("/bin/sh")).toMatchObject({ nx: true, pie: true });
  expect(await ofFile(process.execPath)).toMatchObject({ nx: true });
});
