import { describe, expect, test } from 'vitest';
import type { GgufError, GgufErrorCode, GgufLimits } from '../src/index.ts';
import { defaultLimits, openGguf } from '../src/index.ts';
import * as b from './builder.ts';

const { VALUE, TENSOR } = b;

interface BadFile {
  readonly title: string;
  readonly bytes: Uint8Array;
  readonly limits?: Partial<GgufLimits>;
  /** What the message must name. */
  readonly says?: string;
}

const one = b.entry('k', VALUE.u8, b.u8(1));
const fileType39 = b.entry('general.file_type', VALUE.u32, b.u32(39));
const rawBytes = Uint8Array.of(0xff, 0x61);
const notUtf8 = 'A name is not UTF-8';

function withEntry(entry: Uint8Array): Uint8Array {
  return b.file({ metadata: [entry] });
}

function withValue(type: number, value: Uint8Array): Uint8Array {
  return withEntry(b.entry('k', type, value));
}

function withTensor(parts: b.TensorParts, dataBytes = 32): Uint8Array {
  return b.file({ tensors: [b.tensor(parts)], data: b.ramp(dataBytes) });
}

function withAlignment(type: number, value: Uint8Array): Uint8Array {
  return b.file({
    metadata: [b.entry('general.alignment', type, value)],
    tensors: [b.tensor()],
    data: b.ramp(32),
  });
}

function nested(levels: number): Uint8Array {
  return levels === 1 ? b.array(VALUE.u8, [b.u8(1)]) : b.array(VALUE.array, [nested(levels - 1)]);
}

/** These are about the source or about a use of a sound file; source and data tests have them. */
type OtherCode =
  | 'GGUF_SHORT_READ'
  | 'GGUF_NOT_A_FILE'
  | 'GGUF_HTTP_STATUS'
  | 'GGUF_NO_RANGES'
  | 'GGUF_SOURCE_CHANGED'
  | 'GGUF_BIG_ENDIAN'
  | 'GGUF_CANNOT_DEQUANTIZE';

/** Every other code has its files. */
const badFiles: Record<Exclude<GgufErrorCode, OtherCode>, readonly BadFile[]> = {
  GGUF_BAD_MAGIC: [
    { title: 'another format', bytes: b.file({ magic: 'PK\x03\x04' }), says: '50 4b 03 04' },
    { title: 'a Git LFS pointer', bytes: new TextEncoder().encode('version https://git-lfs.github.com/spec/v1') },
    { title: 'only the magic of an old format', bytes: new TextEncoder().encode('ggjt') },
  ],
  GGUF_UNSUPPORTED_VERSION: [
    { title: 'version 1', bytes: b.file({ version: b.u32(1) }), says: 'GGUF version 1' },
    { title: 'version 0', bytes: b.file({ version: b.u32(0) }) },
    { title: 'version 4', bytes: b.file({ version: b.u32(4) }) },
    { title: 'version 2, big-endian', bytes: b.file({ version: Uint8Array.of(0, 0, 0, 2) }), says: 'big-endian' },
    { title: 'version 1, big-endian', bytes: b.file({ version: Uint8Array.of(0, 0, 0, 1) }), says: 'version 1' },
  ],
  GGUF_TRUNCATED: [
    { title: 'empty', bytes: new Uint8Array(0) },
    { title: 'only the magic', bytes: new TextEncoder().encode('GGUF') },
    { title: '5 tensors promised, none there', bytes: b.file({ tensorCount: 5 }) },
    { title: '3 entries promised, none there', bytes: b.file({ metadataCount: 3 }) },
    { title: '3 entries promised, one there', bytes: b.file({ metadata: [one], metadataCount: 3 }) },
    { title: '2^64 - 1 entries', bytes: b.file({ metadata: [one], metadataCount: 2n ** 64n - 1n }) },
    { title: '2^64 - 1 tensors', bytes: b.file({ tensors: [b.tensor()], tensorCount: 2n ** 64n - 1n }) },
    { title: 'a key of 2^63 bytes', bytes: withEntry(b.string('k', 2n ** 63n)) },
    { title: 'a string of 2^40 bytes', bytes: withValue(VALUE.string, b.string('abc', 2 ** 40)), says: 'value of "k"' },
    { title: 'a string one byte too long', bytes: withValue(VALUE.string, b.string('abc', 4)) },
    { title: '2^60 numbers', bytes: withValue(VALUE.array, b.array(VALUE.f64, [], 2 ** 60)) },
    { title: '2^61 numbers of 8 bytes: 0 modulo 2^64', bytes: withValue(VALUE.array, b.array(VALUE.u64, [], 2 ** 61)) },
    { title: '2^31 strings', bytes: withValue(VALUE.array, b.array(VALUE.string, [b.string('a')], 2 ** 31)) },
    { title: '2^31 booleans', bytes: withValue(VALUE.array, b.array(VALUE.bool, [b.u8(1)], 2 ** 31)) },
    { title: '2^31 arrays', bytes: withValue(VALUE.array, b.array(VALUE.array, [nested(1)], 2 ** 31)) },
    {
      title: '2^32 - 1 dimensions',
      bytes: b.file({ tensors: [b.string('t'), b.u32(2 ** 32 - 1), new Uint8Array(32)], tensorCount: 1 }),
    },
    {
      title: 'a tensor entry cut off',
      bytes: b.file({ tensors: [b.tensor({ dims: [4, 2] })] }).subarray(0, -1),
      says: 'tensor "t"',
    },
  ],
  GGUF_LIMIT_EXCEEDED: [
    { title: 'too many entries', bytes: b.file({ metadata: [one, one] }), limits: { metadataEntries: 1 } },
    { title: 'too many tensors', bytes: withTensor({}), limits: { tensors: 0 }, says: 'limits.tensors' },
    { title: 'a long key', bytes: withEntry(one), limits: { keyBytes: 0 } },
    { title: 'a long string', bytes: withValue(VALUE.string, b.string('abc')), limits: { stringBytes: 2 } },
    { title: 'a long array', bytes: withValue(VALUE.array, nested(1)), limits: { arrayLength: 0 } },
    { title: 'arrays 5 deep', bytes: withValue(VALUE.array, nested(5)), says: 'arrayDepth' },
    { title: 'arrays 1,000 deep', bytes: withValue(VALUE.array, nested(1_000)), says: 'arrayDepth' },
    { title: 'many arrays', bytes: withValue(VALUE.array, nested(3)), limits: { arrays: 2 } },
    { title: 'a tensor name of 65 bytes', bytes: withTensor({ name: 'n'.repeat(65) }), says: 'tensorNameBytes' },
    { title: '5 dimensions', bytes: withTensor({ dims: [1, 1, 1, 1, 1] }), says: 'limits.dimensions' },
    { title: 'a long header', bytes: withTensor({}), limits: { headerBytes: 30 }, says: 'headerBytes' },
  ],
  GGUF_BAD_UTF8: [
    { title: 'in a key', bytes: withEntry(b.entry(rawBytes, VALUE.u8, b.u8(1))), says: notUtf8 },
    { title: 'a surrogate', bytes: withEntry(b.entry(Uint8Array.of(0xed, 0xa0, 0x80), VALUE.u8, b.u8(1))) },
    { title: 'a character cut in two', bytes: withEntry(b.entry(Uint8Array.of(0xe2, 0x96), VALUE.u8, b.u8(1))) },
    { title: 'an overlong slash', bytes: withEntry(b.entry(Uint8Array.of(0xc0, 0xaf), VALUE.u8, b.u8(1))) },
    { title: 'half of two bytes', bytes: withEntry(b.entry(Uint8Array.of(0xc3), VALUE.u8, b.u8(1))) },
    {
      title: 'two bytes, the second not of UTF-8',
      bytes: withEntry(b.entry(Uint8Array.of(0xc3, 0x41), VALUE.u8, b.u8(1))),
    },
    { title: 'in a tensor name', bytes: withTensor({ name: rawBytes }), says: 'tensor entry 0' },
  ],
  GGUF_EMPTY_NAME: [
    { title: 'a key', bytes: withEntry(b.entry('', VALUE.u16, b.u16(1))) },
    { title: 'a tensor', bytes: withTensor({ name: '', dims: [4, 2] }) },
    {
      title: 'zeros where tensors should be',
      bytes: b.file({ tensors: [new Uint8Array(33)], data: b.ramp(32) }),
    },
  ],
  GGUF_DUPLICATE_KEY: [{ title: 'twice the same key', bytes: b.file({ metadata: [one, one] }), says: '"k"' }],
  GGUF_UNKNOWN_VALUE_TYPE: [
    { title: 'type 13', bytes: withValue(13, b.u8(1)), says: 'type 13' },
    { title: 'type 2^32 - 1', bytes: withValue(2 ** 32 - 1, b.u8(1)) },
    { title: 'elements of type 99', bytes: withValue(VALUE.array, b.array(99, [b.u8(1)])), says: 'type 99' },
  ],
  GGUF_BAD_BOOLEAN: [
    { title: 'a boolean of 7', bytes: withValue(VALUE.bool, b.u8(7)) },
    { title: 'an element of 2', bytes: withValue(VALUE.array, b.array(VALUE.bool, [b.u8(2)])) },
  ],
  GGUF_BAD_ALIGNMENT: [
    { title: '0', bytes: withAlignment(VALUE.u32, b.u32(0)) },
    { title: '33', bytes: withAlignment(VALUE.u32, b.u32(33)), says: '33' },
    { title: '2^32 - 1', bytes: withAlignment(VALUE.u32, b.u32(2 ** 32 - 1)) },
    { title: 'a u64', bytes: withAlignment(VALUE.u64, b.u64(32)), says: 'u64' },
    { title: 'a string', bytes: withAlignment(VALUE.string, b.string('32')) },
  ],
  GGUF_DUPLICATE_TENSOR: [
    {
      title: 'twice the same tensor',
      bytes: b.file({ tensors: [b.tensor(), b.tensor({ offset: 32 })], data: b.ramp(64) }),
      says: '"t"',
    },
  ],
  GGUF_BAD_SHAPE: [
    { title: 'no dimensions', bytes: withTensor({ dims: [], name: 'long enough' }) },
    { title: 'a dimension of 0', bytes: withTensor({ dims: [8, 0] }), says: '[8, 0]' },
    { title: '2^64 elements', bytes: withTensor({ dims: [2 ** 32, 2 ** 32] }) },
    { title: '2^53 elements', bytes: withTensor({ dims: [2 ** 53], type: 24 }) },
    { title: 'a product of 0 modulo 2^64', bytes: withTensor({ dims: [2 ** 40, 2 ** 40, 2 ** 40, 2 ** 40] }) },
    { title: 'a dimension of 2^64 - 1', bytes: withTensor({ dims: [2n ** 64n - 1n] }) },
    { title: '2^52 doubles: 2^55 bytes', bytes: withTensor({ dims: [2 ** 52], type: 28 }) },
    {
      title: 'TL2 with a row of 128',
      bytes: b.file({
        metadata: [b.entry('general.architecture', VALUE.string, b.string('bitnet')), fileType39],
        tensors: [b.tensor({ dims: [128], type: 39 })],
        data: b.ramp(200),
      }),
      says: 'TL2',
    },
    { title: 'I2_S with a row of 6', bytes: withTensor({ dims: [6, 2], type: TENSOR.I2_S }, 64), says: 'I2_S' },
    { title: 'Q8_0 with a row of 48', bytes: withTensor({ dims: [48, 2], type: TENSOR.Q8_0 }, 128) },
  ],
  GGUF_UNSUPPORTED_TENSOR_TYPE: [
    { title: '4242', bytes: withTensor({ type: 4242 }), says: 'type 4242' },
    { title: '4, removed from ggml', bytes: withTensor({ type: 4 }) },
    { title: '36 of the size of IQ4_NL_4_4', bytes: withTensor({ dims: [128], type: 36 }, 72), says: 'IQ4_NL' },
    { title: '38 of the size of IQ4_NL_8_8', bytes: withTensor({ dims: [256], type: 38 }, 160), says: 'IQ4_NL' },
    { title: '43, not given yet', bytes: withTensor({ type: 43 }), says: 'Q2_0 (42)' },
    {
      title: 'I2_S of bitnet.cpp beside Q2_0 of ggml and TL2 of an older bitnet.cpp',
      bytes: b.file({
        tensors: [36, 40, 142].map((type, index) =>
          b.tensor({ name: `${type}`, dims: [256], type, offset: index * 256 }),
        ),
        data: b.ramp(768),
      }),
      says: 'type 142',
    },
  ],
  GGUF_UNDECIDED_DIALECT: [
    { title: '39 of a size that fits neither type', bytes: withTensor({ dims: [256], type: 39 }, 200), says: 'MXFP4' },
    { title: '42 of a size that fits neither type', bytes: withTensor({ dims: [256], type: 42 }, 200), says: 'Q2_0' },
    {
      title: '39 of a LLaMA without a telling size',
      bytes: b.file({
        metadata: [b.entry('general.architecture', VALUE.string, b.string('llama')), fileType39],
        tensors: [b.tensor({ dims: [256], type: 39 })],
        data: b.ramp(200),
      }),
      says: 'neither byte sizes nor metadata tell',
    },
    {
      title: '39 of the size of MXFP4 with the metadata of TL2',
      bytes: b.file({
        metadata: [b.entry('general.architecture', VALUE.string, b.string('bitnet')), fileType39],
        tensors: [b.tensor({ dims: [256], type: 39 })],
        data: b.ramp((256 / 32) * 17),
      }),
      says: 'the byte sizes are those of MXFP4, but general.file_type is 39',
    },
    {
      title: '39 of the size of TL2 with the metadata of something else',
      bytes: b.file({
        metadata: [b.entry('general.architecture', VALUE.string, b.string('gpt-oss'))],
        tensors: [b.tensor({ dims: [256], type: 39 })],
        data: b.ramp(64 + 32),
      }),
      says: 'gpt-oss',
    },
  ],
  GGUF_BAD_SPLIT: [
    {
      title: 'one file of three',
      bytes: withEntry(b.entry('split.count', VALUE.u16, b.u16(3))),
      says: 'one of 3 files',
    },
  ],
  GGUF_MISALIGNED_TENSOR: [
    { title: 'offset 4', bytes: withTensor({ offset: 4 }, 64) },
    {
      title: 'offset 32 of alignment 64',
      bytes: b.file({
        metadata: [b.entry('general.alignment', VALUE.u32, b.u32(64))],
        tensors: [b.tensor({ offset: 32 })],
        alignment: 64,
        data: b.ramp(128),
      }),
    },
  ],
  GGUF_TENSOR_BEYOND_END: [
    { title: 'one byte too few', bytes: withTensor({}, 31), says: '"t"' },
    { title: 'no data', bytes: b.file({ tensors: [b.tensor()] }) },
    { title: 'offset 2^63', bytes: withTensor({ offset: 2n ** 63n }) },
    { title: 'an offset that is negative modulo 2^64', bytes: withTensor({ offset: 2n ** 64n - 32n }) },
    { title: 'I2_S without its trailer', bytes: withTensor({ dims: [128], type: TENSOR.I2_S }, 32) },
    { title: 'TL1 with half a trailer', bytes: withTensor({ dims: [128], type: TENSOR.TL1 }, 48) },
    { title: 'an alignment of 2^31', bytes: withAlignment(VALUE.u32, b.u32(2 ** 31)) },
  ],
  GGUF_OVERLAPPING_TENSORS: [
    {
      title: 'the same offset',
      bytes: b.file({ tensors: [b.tensor({ name: 'a' }), b.tensor({ name: 'b' })], data: b.ramp(32) }),
      says: '"a" and "b"',
    },
    {
      title: 'the second in the trailer of the first',
      bytes: b.file({
        tensors: [b.tensor({ name: 'a', dims: [128], type: TENSOR.I2_S }), b.tensor({ name: 'b', offset: 32 })],
        data: b.ramp(64),
      }),
    },
    {
      title: 'listed back to front',
      bytes: b.file({
        tensors: [b.tensor({ name: 'b', offset: 32 }), b.tensor({ name: 'a', dims: [9] })],
        data: b.ramp(64),
      }),
      says: '"a" and "b"',
    },
  ],
};

for (const [code, files] of Object.entries(badFiles)) {
  describe(`${code}`, () => {
    test.each(files)('$title', async ({ bytes, limits = {}, says = '' }) => {
      await expect(openGguf(bytes, { limits })).rejects.toMatchObject({
        name: 'GgufError',
        code,
        message: expect.stringContaining(says),
      });
    });
  });
}

test('a message says what, where and what to do, and does not repeat endless names', async () => {
  const key = `${'k'.repeat(100)}\n`;
  const outcome = openGguf(withEntry(b.entry(key, VALUE.bool, b.u8(7))));
  await expect(outcome).rejects.toThrow(
    `A boolean is 7, while reading the value of "${'k'.repeat(80)}…" (at byte 137 of bytes). ` +
      'Only 0 and 1 are booleans; the file is damaged.',
  );
});

test('every limit but that of split files, which split.test.ts has, is met by a file', async () => {
  const errors = badFiles.GGUF_LIMIT_EXCEEDED.map(({ bytes, limits = {} }) =>
    openGguf(bytes, { limits }).catch((error: GgufError) => error.limit),
  );
  const met = new Set([...(await Promise.all(errors)), 'splitFiles']);
  expect([...met].toSorted()).toEqual(Object.keys(defaultLimits).toSorted());
});
