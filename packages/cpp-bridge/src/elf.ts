import { BridgeError } from './errors.ts';

/** What a shared library says about itself: most of it in the tables that the dynamic loader reads. */
export interface ElfLibrary {
  readonly machine: ElfMachine;
  readonly soname: string | undefined;
  /** Libraries that the loader loads with it. */
  readonly needed: readonly string[];
  /** Folders that it searches for these first; `$ORIGIN` is the library's own. */
  readonly runpath: readonly string[];
  /** Functions that it defines, by name. */
  readonly functions: ReadonlySet<string>;
  /** Newest version of the GNU C library that it needs, such as `2.34`; undefined where it needs none by version. */
  readonly glibcFloor: string | undefined;
  /** The same of the GNU C++ library: `3.4.29`. */
  readonly glibcxxFloor: string | undefined;
  /** What compilers left in it, such as `GCC: (Debian 12.2.0-14) 12.2.0`; none where that was stripped. */
  readonly compilers: readonly string[];
}

/** As `process.arch` has it where Node runs; a number as text where not. */
type ElfMachine = 'x64' | 'arm64' | 'ia32' | 'arm' | 'riscv64' | 'ppc64' | 's390x' | 'loong64' | `machine ${number}`;

/** ELF header, e_machine. */
const MACHINES: Readonly<Record<number, ElfMachine>> = {
  3: 'ia32',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
  258: 'loong64',
};

/** A library has a handful of segments; the others are there to stop a hostile file. */
const LIMITS = {
  segments: 256,
  dynamicEntries: 4096,
  versions: 4096,
  nameBytes: 4096,
  symbols: 1 << 20,
  functionNameBytes: 1 << 26,
  sections: 1 << 16,
  compilers: 64,
};

const TYPE_SHARED_OBJECT = 3;
const SEGMENT = { load: 1, dynamic: 2 };
const DYNAMIC = {
  end: 0n,
  needed: 1n,
  hash: 4n,
  stringTable: 5n,
  symbolTable: 6n,
  stringTableBytes: 10n,
  soname: 14n,
  rpath: 15n,
  runpath: 29n,
  gnuHash: 0x6ffffef5n,
  versionNeeds: 0x6ffffffen,
  versionNeedCount: 0x6fffffffn,
};
const SYMBOL_BYTES = 24;
const SYMBOL_TYPE_FUNCTION = 2;
/** A function whose address the library chooses as it is loaded, by the processor for example. */
const SYMBOL_TYPE_INDIRECT_FUNCTION = 10;

/**
 * Reads a shared library of 64 bits, little-endian, without running or loading it. Reads what the loader would, the dynamic
 * segment; a library without section headers is fine. Time and memory are bounded by the file's size and the limits above.
 *
 * @param name - of the file, for messages
 * @throws BridgeError BRIDGE_DAMAGED_LIBRARY; BRIDGE_BAD_LIBRARY where it is no shared library of a format that is supported
 *
 * Source: System V ABI, chapters 4 and 5; Linux Standard Base 5.0, 10.7 (symbol versions); glibc `elf.h`.
 */
export function readElf(bytes: Uint8Array, name: string): ElfLibrary {
  const file = new ElfFile(bytes, name);
  const { machine, segments } = readHeader(file);
  const dynamic = readDynamic(file, segments);
  const string = (offset: bigint): string => file.string(stringsOf(file, segments, dynamic), Number(offset));

  const versions = readVersionNeeds(file, segments, dynamic, string);
  const soname = dynamic.get(DYNAMIC.soname)?.[0];
  const runpath = dynamic.get(DYNAMIC.runpath)?.[0] ?? dynamic.get(DYNAMIC.rpath)?.[0];
  return {
    machine,
    soname: soname === undefined ? undefined : string(soname),
    needed: (dynamic.get(DYNAMIC.needed) ?? []).map(string),
    runpath: runpath === undefined ? [] : string(runpath).split(':'),
    functions: readFunctions(file, segments, dynamic, string),
    glibcFloor: newest(versions, 'GLIBC_'),
    glibcxxFloor: newest(versions, 'GLIBCXX_'),
    compilers: readCompilers(file),
  };
}

/** Negative where version `a` is older than `b`, both such as `2.34`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.'), b.split('.')];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = Number(left[i] ?? 0) - Number(right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

interface Segment {
  readonly type: number;
  readonly offset: bigint;
  readonly address: bigint;
  readonly fileBytes: bigint;
}

/** Values of each tag of the dynamic segment, in order. */
type Dynamic = ReadonlyMap<bigint, readonly bigint[]>;

function readHeader(file: ElfFile): { machine: ElfMachine; segments: readonly Segment[] } {
  refuseOtherFormats(file);
  if (file.u16(16) !== TYPE_SHARED_OBJECT) throw file.error('is an ELF file, but no shared library');
  const machine = MACHINES[file.u16(18)] ?? (`machine ${file.u16(18)}` as const);
  // The loader does not need the table of sections, but it is the last part: without it the file was cut off.
  file.at(file.u64(40), file.u16(58) * file.u16(60));
  const offset = file.u64(32);
  const [entryBytes, count] = [file.u16(54), file.u16(56)];
  if (entryBytes < 56) throw file.damaged('the segment table has entries of', entryBytes, 'bytes');
  if (count > LIMITS.segments) throw file.damaged('there are', count, 'segments');
  const segments = Array.from({ length: count }, (_, index): Segment => {
    const at = file.at(offset, index * entryBytes);
    const segment = {
      type: file.u32(at),
      offset: file.u64(at + 8),
      address: file.u64(at + 16),
      fileBytes: file.u64(at + 32),
    };
    if (segment.type === SEGMENT.load) file.at(segment.offset + segment.fileBytes, 0); // a file that was cut off
    return segment;
  });
  return { machine, segments };
}

/** Says what the file is, where it is a library of another system. */
function refuseOtherFormats(file: ElfFile): void {
  const magic = file.bytes.length < 4 ? 0 : file.view.getUint32(0);
  if (magic === 0x7f454c46) {
    if (file.u8(4) !== 2) throw file.error('is an ELF file of 32 bits; a reference of 64 bits is needed');
    if (file.u8(5) !== 1) throw file.error('is a big-endian ELF file; a little-endian one is needed');
    return;
  }
  // Both byte orders of both sizes, and the fat binaries that hold several.
  const machO = [0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabe, 0xcafebabf];
  if (machO.includes(magic))
    throw file.error('is a Mach-O library (macOS), which is not supported yet; ELF (Linux) is');
  if (magic >>> 16 === 0x4d5a)
    throw file.error('is a PE library (Windows), which is not supported yet; ELF (Linux) is');
  const start = String.fromCharCode(...file.bytes.subarray(0, 8));
  if (start === '!<arch>\n') throw file.error('is a static archive; build shared libraries (BUILD_SHARED_LIBS=ON)');
  throw file.error('is not an ELF file');
}

function readDynamic(file: ElfFile, segments: readonly Segment[]): Dynamic {
  const segment = segments.find(({ type }) => type === SEGMENT.dynamic);
  if (segment === undefined) throw file.damaged('it has no dynamic segment');
  const dynamic = new Map<bigint, bigint[]>();
  const count = Number(segment.fileBytes / 16n);
  for (let index = 0; index < count; index++) {
    if (index === LIMITS.dynamicEntries) throw file.damaged('the dynamic segment has', count, 'entries');
    const at = file.at(segment.offset, index * 16);
    const tag = file.u64(at);
    if (tag === DYNAMIC.end) return dynamic;
    const values = dynamic.get(tag);
    if (values === undefined) dynamic.set(tag, [file.u64(at + 8)]);
    else values.push(file.u64(at + 8));
  }
  throw file.damaged('the dynamic segment does not end');
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function stringsOf(file: ElfFile, segments: readonly Segment[], dynamic: Dynamic): Range {
  const start = file.offsetOf(segments, file.only(dynamic, DYNAMIC.stringTable, 'string table'));
  const sizeBytes = file.only(dynamic, DYNAMIC.stringTableBytes, 'size of the string table');
  return { start, end: file.at(BigInt(start) + sizeBytes, 0) };
}

/** Where a symbol is defined, its section is not 0. */
function readFunctions(
  file: ElfFile,
  segments: readonly Segment[],
  dynamic: Dynamic,
  string: (offset: bigint) => string,
): ReadonlySet<string> {
  const start = file.offsetOf(segments, file.only(dynamic, DYNAMIC.symbolTable, 'symbol table'));
  const count = symbolCount(file, segments, dynamic);
  if (count > LIMITS.symbols) throw file.damaged('there are', count, 'symbols');
  const functions = new Set<string>();
  let nameBytes = 0;
  for (let index = 1; index < count; index++) {
    const at = start + index * SYMBOL_BYTES;
    const type = file.u8(at + 4) & 15;
    const isFunction = type === SYMBOL_TYPE_FUNCTION || type === SYMBOL_TYPE_INDIRECT_FUNCTION;
    if (!isFunction || file.u16(at + 6) === 0) continue;
    const name = string(BigInt(file.u32(at)));
    functions.add(name);
    nameBytes += name.length;
    // Names may overlap in the file, and take far more memory than it.
    if (nameBytes > LIMITS.functionNameBytes) throw file.damaged('names of functions take over', nameBytes, 'bytes');
  }
  return functions;
}

/** The dynamic segment does not say how many symbols there are; the hash table, of either kind, does. */
function symbolCount(file: ElfFile, segments: readonly Segment[], dynamic: Dynamic): number {
  const hash = dynamic.get(DYNAMIC.hash)?.[0];
  if (hash !== undefined) return file.u32(file.offsetOf(segments, hash) + 4);

  const start = file.offsetOf(segments, file.only(dynamic, DYNAMIC.gnuHash, 'hash table of symbols'));
  const [bucketCount, firstHashed, bloomWords] = [file.u32(start), file.u32(start + 4), file.u32(start + 8)];
  const buckets = file.at(BigInt(start + 16), bloomWords * 8);
  const chains = file.at(BigInt(buckets), bucketCount * 4);
  let last = 0;
  for (let bucket = 0; bucket < bucketCount; bucket++) last = Math.max(last, file.u32(buckets + bucket * 4));
  if (last === 0) return firstHashed; // no symbol is hashed: the library exports nothing
  if (last < firstHashed) throw file.damaged('its hash table of symbols begins before itself');
  // A chain ends with an odd value; it is the last one's that has the last symbol.
  while (file.u32(file.at(BigInt(chains), (last - firstHashed) * 4)) % 2 === 0) last++;
  return last + 1;
}

function readVersionNeeds(
  file: ElfFile,
  segments: readonly Segment[],
  dynamic: Dynamic,
  string: (offset: bigint) => string,
): readonly string[] {
  const needs = dynamic.get(DYNAMIC.versionNeeds)?.[0];
  if (needs === undefined) return [];
  const versions: string[] = [];
  const fileCount = file.only(dynamic, DYNAMIC.versionNeedCount, 'number of needed versions');
  if (fileCount > BigInt(LIMITS.versions)) throw file.damaged('it needs versions of', `${fileCount}`, 'libraries');
  let at = file.offsetOf(segments, needs);
  for (let index = 0n; index < fileCount; index++) {
    let version = file.at(BigInt(at), file.u32(at + 8));
    for (let left = file.u16(at + 2); left > 0; left--) {
      if (versions.length === LIMITS.versions) throw file.damaged('it needs over', LIMITS.versions, 'versions');
      versions.push(string(BigInt(file.u32(version + 8))));
      version = next(version, file.u32(version + 12), left - 1);
    }
    at = next(at, file.u32(at + 12), Number(fileCount - index - 1n));
  }
  return versions;

  // Offset 0 means the last one. A list that says so too early would be read over and over.
  function next(current: number, offset: number, left: number): number {
    if (left > 0 && offset === 0) throw file.damaged('its list of needed versions ends too early');
    return file.at(BigInt(current), offset);
  }
}

/** Strings of the section `.comment`. Linkers merge equal ones. */
function readCompilers(file: ElfFile): readonly string[] {
  const table = file.u64(40);
  const [entryBytes, count, names] = [file.u16(58), file.u16(60), file.u16(62)];
  if (table === 0n || count === 0) return []; // stripped of sections
  if (entryBytes < 64) throw file.damaged('the section table has entries of', entryBytes, 'bytes');
  if (count > LIMITS.sections || names >= count) throw file.damaged('the section table has', count, 'entries');
  const rangeOf = (index: number): Range => {
    const at = file.at(table, index * entryBytes);
    const start = file.at(file.u64(at + 24), 0);
    return { start, end: file.at(file.u64(at + 24) + file.u64(at + 32), 0) };
  };
  const nameRange = rangeOf(names);
  for (let index = 1; index < count; index++) {
    const nameAt = file.u32(file.at(table, index * entryBytes));
    if (file.string(nameRange, nameAt) !== '.comment') continue;
    const range = rangeOf(index);
    const compilers: string[] = [];
    for (let at = 0; at < range.end - range.start && compilers.length < LIMITS.compilers;) {
      const text = file.string(range, at);
      if (text !== '') compilers.push(text);
      at += new TextEncoder().encode(text).length + 1;
    }
    return compilers;
  }
  return [];
}

/** The newest of the versions that begin with `prefix`. Private ones (`GLIBC_PRIVATE`) are not numbers. */
function newest(versions: readonly string[], prefix: string): string | undefined {
  return versions
    .filter((version) => version.startsWith(prefix))
    .map((version) => version.slice(prefix.length))
    .filter((version) => /^\d+(\.\d+)*$/.test(version))
    .toSorted(compareVersions)
    .at(-1);
}

/** The bytes of a file, all reads checked. */
class ElfFile {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #name: string;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
  }

  u8(at: number): number {
    return this.view.getUint8(this.#inside(at, 1));
  }

  u16(at: number): number {
    return this.view.getUint16(this.#inside(at, 2), true);
  }

  u32(at: number): number {
    return this.view.getUint32(this.#inside(at, 4), true);
  }

  u64(at: number): bigint {
    return this.view.getBigUint64(this.#inside(at, 8), true);
  }

  /** `start` + `offset`, which may be the end of the file but not beyond it. */
  at(start: bigint, offset: number): number {
    const at = start + BigInt(offset);
    if (at > BigInt(this.bytes.length)) throw this.#truncated(at);
    return Number(at);
  }

  /** Where the byte that is loaded at `address` stands in the file. */
  offsetOf(segments: readonly Segment[], address: bigint): number {
    const segment = segments.find(
      (each) => each.type === SEGMENT.load && address >= each.address && address - each.address < each.fileBytes,
    );
    if (segment === undefined) throw this.damaged(`address 0x${address.toString(16)} is in no segment`);
    return this.at(segment.offset + address - segment.address, 0);
  }

  only(dynamic: Dynamic, tag: bigint, what: string): bigint {
    const value = dynamic.get(tag)?.[0];
    if (value === undefined) throw this.damaged(`its dynamic segment names no ${what}`);
    return value;
  }

  string({ start, end }: Range, offset: number): string {
    const from = start + offset;
    const limit = Math.min(end, from + LIMITS.nameBytes);
    const to = from < end ? this.bytes.subarray(from, limit).indexOf(0) : -1;
    if (to === -1) throw this.damaged(`a name at ${offset} of its string table does not end`);
    return new TextDecoder().decode(this.bytes.subarray(from, from + to));
  }

  damaged(...what: readonly (string | number)[]): BridgeError {
    return new BridgeError('BRIDGE_DAMAGED_LIBRARY', `${this.#name} is damaged: ${what.join(' ')}.`);
  }

  error(what: string): BridgeError {
    return new BridgeError('BRIDGE_BAD_LIBRARY', `${this.#name} ${what}.`);
  }

  #inside(at: number, length: number): number {
    if (at + length > this.bytes.length) throw this.#truncated(BigInt(at + length));
    return at;
  }

  #truncated(end: bigint): BridgeError {
    return this.damaged(`it has ${this.bytes.length} bytes, but refers to byte ${end}`);
  }
}
