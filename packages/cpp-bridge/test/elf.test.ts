import { readFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareVersions, readElf } from '../src/elf.ts';
import { BridgeError } from '../src/errors.ts';
import { npmReference } from './npm-reference.ts';
import { elfLibrary, type ElfSpec } from './elf-writer.ts';

const SPEC: ElfSpec = {
  soname: 'libllama.so.0',
  needed: ['libggml.so', 'libc.so.6'],
  runpath: '$ORIGIN:/opt/x',
  functions: ['llama_decode', 'llama_free'],
  imports: ['ggml_nbytes'],
  versions: ['GLIBC_2.4', 'GLIBC_2.34', 'GLIBC_PRIVATE', 'GLIBCXX_3.4.9', 'GLIBCXX_3.4.29'],
};

/** The error's code; fails on anything that is not a BridgeError. */
function codeOf(bytes: Uint8Array): string {
  try {
    readElf(bytes, 'x.so');
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    return error.code;
  }
  return 'none';
}

describe('a shared library', () => {
  test.each(['gnu', 'sysv'] as const)('with a hash table of kind %s', (hash) => {
    expect(readElf(elfLibrary({ ...SPEC, hash }), 'x.so')).toEqual({
      machine: 'x64',
      soname: 'libllama.so.0',
      needed: ['libggml.so', 'libc.so.6'],
      runpath: ['$ORIGIN', '/opt/x'],
      functions: new Set(['llama_decode', 'llama_free']),
      glibcFloor: '2.34',
      glibcxxFloor: '3.4.29',
      compilers: [],
    });
  });

  test.each(['gnu', 'sysv'] as const)('that has and wants nothing, with a hash table of kind %s', (hash) => {
    expect(readElf(elfLibrary({ hash }), 'x.so')).toEqual({
      machine: 'x64',
      soname: undefined,
      needed: [],
      runpath: [],
      functions: new Set(),
      glibcFloor: undefined,
      glibcxxFloor: undefined,
      compilers: [],
    });
  });

  test.each([
    [183, 'arm64'],
    [243, 'riscv64'],
    [9999, 'machine 9999'],
  ])('for machine %i', (machine, name) => {
    expect(readElf(elfLibrary({ machine }), 'x.so').machine).toBe(name);
  });

  test('that says what compiled it', () => {
    const compilers = ['GCC: (Debian 12.2.0-14) 12.2.0', 'Debian clang version 19.1.7'];
    expect(readElf(elfLibrary({ ...SPEC, compilers }), 'x.so').compilers).toEqual(compilers);
  });

  test('of llama.cpp itself', async () => {
    const { files } = await npmReference();
    const llama = readElf(await readFile(files.llama), files.llama);
    // `readelf -d`, `readelf -V` and `readelf --dyn-syms` of binutils 2.40 say so.
    expect(llama).toMatchObject({ machine: 'x64', soname: 'libllama.v0.5.0.so', runpath: ['$ORIGIN', ''] });
    expect(llama.needed).toContain('libggml-base.so');
    expect([llama.functions.size, llama.glibcFloor, llama.glibcxxFloor]).toEqual([4125, '2.34', '3.4.29']);
    const base = readElf(await readFile(files.ggmlBase!), 'libggml-base.so');
    expect([base.functions.size, base.glibcFloor, base.glibcxxFloor]).toEqual([859, '2.29', '3.4.29']);
    expect(base.compilers).toEqual(['GCC: (Ubuntu 11.4.0-1ubuntu1~22.04.3) 11.4.0']); // `readelf -p .comment`
  });
});

describe('what is no library for the bridge is named', () => {
  test.each([
    ['32 bits', elfLibrary({ fileClass: 1 }), '32 bits'],
    ['big-endian', elfLibrary({ bigEndian: true }), 'big-endian'],
    ['a program', elfLibrary({ type: 2 }), 'no shared library'],
    [
      'Mach-O, 64 bits',
      Buffer.from([0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1]),
      'Mach-O library (macOS), which is not supported yet',
    ],
    ['Mach-O, for several machines', Buffer.from([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]), 'Mach-O library'],
    ['PE', Buffer.from('MZ\u0090\0\u0003'), 'PE library (Windows), which is not supported yet'],
    ['a static archive', Buffer.from('!<arch>\nx'), 'static archive'],
    ['text', Buffer.from('/* GNU ld script */'), 'is not an ELF file'],
    ['nothing', Buffer.alloc(0), 'is not an ELF file'],
  ])('%s', (_, bytes, message) => {
    expect(codeOf(bytes)).toBe('BRIDGE_BAD_LIBRARY');
    expect(() => readElf(bytes, '/lib/x.so')).toThrow(/^\/lib\/x\.so is /);
    expect(() => readElf(bytes, '/lib/x.so')).toThrow(message);
  });
});

describe('hostile files end with a typed error', () => {
  test.each(['gnu', 'sysv'] as const)('cut off at every byte, with a hash table of kind %s', (hash) => {
    const whole = elfLibrary({ ...SPEC, hash, compilers: ['GCC: 12.2.0'] });
    for (let length = 0; length < whole.length; length++) {
      expect(codeOf(whole.subarray(0, length)), `${length} bytes`).toMatch(/^BRIDGE_(BAD|DAMAGED)_LIBRARY$/);
    }
  });

  test('any change of a few bytes', () => {
    const whole = elfLibrary({ ...SPEC, compilers: ['GCC: 12.2.0'] });
    const change = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const bytes = Buffer.from(whole);
        for (const { at, value } of changes) bytes[at] = value;
        expect(['none', 'BRIDGE_BAD_LIBRARY', 'BRIDGE_DAMAGED_LIBRARY']).toContain(codeOf(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  test('tables that are larger than the file, or have no end', () => {
    const whole = elfLibrary(SPEC);
    const dynamicAt = Number(whole.readBigUInt64LE(64 + 56 + 8));
    const entry = (tag: bigint): number => {
      for (let at = dynamicAt; ; at += 16) if (whole.readBigUInt64LE(at) === tag) return at + 8;
    };
    const changed = (change: (bytes: Buffer) => void): string => {
      const bytes = Buffer.from(whole);
      change(bytes);
      return codeOf(bytes);
    };
    const damaged = 'BRIDGE_DAMAGED_LIBRARY';
    const huge = 2n ** 64n - 1n;
    // Segments, strings, version needs, buckets.
    expect(changed((bytes) => bytes.writeUInt16LE(65_535, 56))).toBe(damaged);
    expect(changed((bytes) => bytes.writeBigUInt64LE(huge, entry(10n)))).toBe(damaged);
    expect(changed((bytes) => bytes.writeBigUInt64LE(huge, entry(5n)))).toBe(damaged);
    expect(changed((bytes) => bytes.writeBigUInt64LE(huge, entry(0x6fffffffn)))).toBe(damaged);
    const hashAt = Number(whole.readBigUInt64LE(entry(0x6ffffef5n)));
    expect(changed((bytes) => bytes.writeUInt32LE(0xffffffff, hashAt))).toBe(damaged);
    // A list of versions whose entries refer to themselves.
    const needsAt = Number(whole.readBigUInt64LE(entry(0x6ffffffen)));
    expect(changed((bytes) => bytes.writeUInt16LE(65_535, needsAt + 2))).toBe(damaged);
    expect(changed((bytes) => bytes.writeUInt32LE(0, needsAt + 16 + 12))).toBe(damaged);
    // A chain of hashes that is not there.
    expect(changed((bytes) => bytes.writeUInt32LE(0xfffffff0, hashAt + 24))).toBe(damaged);
  });
});

test('versions are compared by number', () => {
  expect(['2.4', '2.34', '2.3.4', '2.10', '2'].toSorted(compareVersions)).toEqual([
    '2',
    '2.3.4',
    '2.4',
    '2.10',
    '2.34',
  ]);
});
