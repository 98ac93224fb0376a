/** A shared library for the tests: real enough for the dynamic loader of Linux on x86-64, so small that no compiler is needed. */
export interface ElfSpec {
  /** ELF header, e_machine; default 62, x86-64. */
  readonly machine?: number;
  /** 1 for 32 bits, 2 for 64. */
  readonly fileClass?: number;
  readonly bigEndian?: boolean;
  /** 2 for a program, 3 for a shared library. */
  readonly type?: number;
  readonly soname?: string;
  readonly needed?: readonly string[];
  readonly runpath?: string;
  /** Functions that it defines. */
  readonly functions?: readonly string[];
  /** Functions that it wants from others. */
  readonly imports?: readonly string[];
  /** Versions of libc.so.6 that it needs, such as `GLIBC_2.34`. */
  readonly versions?: readonly string[];
  readonly hash?: 'gnu' | 'sysv';
  /** Strings of the section `.comment`. Default: there are no sections. */
  readonly compilers?: readonly string[];
  /** Machine code of each function. Default: returns 0. */
  readonly code?: readonly number[];
  /** Machine code that the loader runs as it loads the library. */
  readonly init?: readonly number[];
}

/** Machine code for x86-64 Linux. */
export const CODE = {
  returnZero: [0x31, 0xc0, 0xc3],
  return: [0xc3],
  // xor edi, edi; mov eax, 231 (exit_group); syscall
  exit: [0x31, 0xff, 0xb8, 0xe7, 0x00, 0x00, 0x00, 0x0f, 0x05],
  // jmp to itself
  hang: [0xeb, 0xfe],
  // an instruction that is none
  crash: [0x0f, 0x0b],
} as const;

const [HEADER_BYTES, SEGMENT_BYTES, SEGMENTS, SYMBOL_BYTES, SECTION_BYTES] = [64, 56, 3, 24, 64];

export function elfLibrary({
  machine = 62,
  fileClass = 2,
  bigEndian = false,
  type = 3,
  soname,
  needed = [],
  runpath,
  functions = [],
  imports = [],
  versions = [],
  hash = 'gnu',
  compilers,
  code = CODE.returnZero,
  init,
}: ElfSpec = {}): Buffer {
  const strings = new Strings();
  const symbolNames = [...imports, ...functions].map((name) => strings.offset(name));
  const libraries = versions.length > 0 && !needed.includes('libc.so.6') ? [...needed, 'libc.so.6'] : needed;
  const neededOffsets = libraries.map((name) => strings.offset(name));
  const sonameOffset = soname === undefined ? undefined : strings.offset(soname);
  const runpathOffset = runpath === undefined ? undefined : strings.offset(runpath);
  const libc = versions.length > 0 ? strings.offset('libc.so.6') : 0;
  const versionOffsets = versions.map((name) => strings.offset(name));

  const image = new Image(HEADER_BYTES + SEGMENTS * SEGMENT_BYTES);
  const codeAt = image.append(Buffer.from(code));
  const initAt = init === undefined ? undefined : image.append(Buffer.from(init));
  const stringsAt = image.append(strings.bytes());
  const symbols = Buffer.alloc((symbolNames.length + 1) * SYMBOL_BYTES);
  for (const [index, name] of symbolNames.entries()) {
    const at = (index + 1) * SYMBOL_BYTES;
    const isDefined = index >= imports.length;
    symbols.writeUInt32LE(name, at);
    symbols[at + 4] = 0x12; // global function
    symbols.writeUInt16LE(isDefined ? 1 : 0, at + 6);
    symbols.writeBigUInt64LE(BigInt(isDefined ? codeAt : 0), at + 8);
  }
  const symbolsAt = image.append(symbols);
  const hashAt = image.append(
    hash === 'gnu' ? gnuHash(functions, imports.length + 1) : sysvHash(symbolNames.length + 1),
  );

  const dynamic: [number, number][] = neededOffsets.map((offset) => [1, offset]);
  dynamic.push([5, stringsAt], [6, symbolsAt], [10, strings.bytes().length], [11, SYMBOL_BYTES]);
  dynamic.push([hash === 'gnu' ? 0x6ffffef5 : 4, hashAt]);
  if (sonameOffset !== undefined) dynamic.push([14, sonameOffset]);
  if (runpathOffset !== undefined) dynamic.push([29, runpathOffset]);
  if (initAt !== undefined) dynamic.push([12, initAt]);
  if (versions.length > 0) {
    const needs = Buffer.alloc(16 + versions.length * 16);
    needs.writeUInt16LE(1, 0);
    needs.writeUInt16LE(versions.length, 2);
    needs.writeUInt32LE(libc, 4);
    needs.writeUInt32LE(16, 8);
    for (const [index, offset] of versionOffsets.entries()) {
      const at = 16 + index * 16;
      needs.writeUInt16LE(index + 2, at + 6);
      needs.writeUInt32LE(offset, at + 8);
      needs.writeUInt32LE(index + 1 < versions.length ? 16 : 0, at + 12);
    }
    dynamic.push([0x6ffffffe, image.append(needs)], [0x6fffffff, 1]);
    dynamic.push([0x6ffffff0, image.append(Buffer.alloc((symbolNames.length + 1) * 2))]);
  }
  dynamic.push([0, 0]);
  const table = Buffer.alloc(dynamic.length * 16);
  for (const [index, [tag, value]] of dynamic.entries()) {
    table.writeBigUInt64LE(BigInt(tag), index * 16);
    table.writeBigUInt64LE(BigInt(value), index * 16 + 8);
  }
  const dynamicAt = image.append(table);
  const sections = compilers === undefined ? undefined : appendSections(image, compilers);

  const bytes = image.bytes();
  bytes.set([0x7f, 0x45, 0x4c, 0x46, fileClass, bigEndian ? 2 : 1, 1]);
  bytes.writeUInt16LE(type, 16);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  bytes.writeUInt16LE(HEADER_BYTES, 52);
  bytes.writeUInt16LE(SEGMENT_BYTES, 54);
  bytes.writeUInt16LE(SEGMENTS, 56);
  if (sections !== undefined) {
    bytes.writeBigUInt64LE(BigInt(sections), 40);
    bytes.writeUInt16LE(SECTION_BYTES, 58);
    bytes.writeUInt16LE(3, 60);
    bytes.writeUInt16LE(1, 62);
  }
  // All of the file, to be read, written and run; the dynamic table; a stack that cannot be run.
  segment(0, 1, 7, 0, bytes.length, 0x1000);
  segment(1, 2, 6, dynamicAt, table.length, 8);
  segment(2, 0x6474e551, 6, 0, 0, 16);
  return bytes;

  function segment(index: number, kind: number, flags: number, offset: number, length: number, align: number): void {
    const at = HEADER_BYTES + index * SEGMENT_BYTES;
    bytes.writeUInt32LE(kind, at);
    bytes.writeUInt32LE(flags, at + 4);
    for (const place of [8, 16, 24]) bytes.writeBigUInt64LE(BigInt(offset), at + place);
    for (const place of [32, 40]) bytes.writeBigUInt64LE(BigInt(length), at + place);
    bytes.writeBigUInt64LE(BigInt(align), at + 48);
  }
}

/** A table of sections: none, their names, and `.comment`. Returns where it begins. */
function appendSections(image: Image, compilers: readonly string[]): number {
  const names = Buffer.from('\0.comment\0');
  const comment = Buffer.from(compilers.map((text) => `${text}\0`).join(''));
  const table = Buffer.alloc(3 * SECTION_BYTES);
  for (const [index, name, content] of [
    [1, 0, names],
    [2, 1, comment],
  ] as const) {
    table.writeUInt32LE(name, index * SECTION_BYTES);
    table.writeBigUInt64LE(BigInt(image.append(content)), index * SECTION_BYTES + 24);
    table.writeBigUInt64LE(BigInt(content.length), index * SECTION_BYTES + 32);
  }
  return image.append(table);
}

/** One bucket with all functions, a filter that lets everything through. */
function gnuHash(functions: readonly string[], first: number): Buffer {
  const bytes = Buffer.alloc(16 + 8 + 4 + functions.length * 4);
  bytes.writeUInt32LE(1, 0);
  bytes.writeUInt32LE(first, 4);
  bytes.writeUInt32LE(1, 8);
  bytes.fill(0xff, 16, 24);
  bytes.writeUInt32LE(functions.length === 0 ? 0 : first, 24);
  for (const [index, name] of functions.entries()) {
    let value = 5381;
    for (const byte of Buffer.from(name)) value = (Math.imul(value, 33) + byte) >>> 0;
    const isLast = index === functions.length - 1;
    bytes.writeUInt32LE(((value & ~1) | (isLast ? 1 : 0)) >>> 0, 28 + index * 4);
  }
  return bytes;
}

function sysvHash(symbols: number): Buffer {
  const bytes = Buffer.alloc(8 + 4 + symbols * 4);
  bytes.writeUInt32LE(1, 0);
  bytes.writeUInt32LE(symbols, 4);
  bytes.writeUInt32LE(symbols > 1 ? 1 : 0, 8);
  for (let index = 1; index + 1 < symbols; index++) bytes.writeUInt32LE(index + 1, 12 + index * 4);
  return bytes;
}

class Strings {
  #bytes = Buffer.from([0]);

  offset(text: string): number {
    const at = this.#bytes.length;
    this.#bytes = Buffer.concat([this.#bytes, Buffer.from(`${text}\0`)]);
    return at;
  }

  bytes(): Buffer {
    return this.#bytes;
  }
}

class Image {
  #bytes: Buffer;

  constructor(reserved: number) {
    this.#bytes = Buffer.alloc(reserved);
  }

  /** @returns where it stands, a multiple of 16 */
  append(bytes: Buffer): number {
    const at = Math.ceil(this.#bytes.length / 16) * 16;
    this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(at - this.#bytes.length), bytes]);
    return at;
  }

  bytes(): Buffer {
    return this.#bytes;
  }
}
