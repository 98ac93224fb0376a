import { describe, expect, test } from 'vitest';
import type { GgufDialectName } from '../src/index.ts';
import { openGguf } from '../src/index.ts';
import * as b from './builder.ts';

const { VALUE } = b;

interface Case {
  readonly title: string;
  /** Type numbers; every tensor has 512 elements, [2, 256]. */
  readonly types: readonly number[];
  readonly sizes: readonly number[];
  readonly architecture?: string;
  readonly fileType?: number;
  readonly dialect: GgufDialectName;
  readonly names: readonly string[];
  readonly reason: string;
}

const TL2_BYTES = 128 + 32; // no triples, 512 elements as pairs in 4 bits, and the trailer
const MXFP4_BYTES = (512 / 32) * 17;
const Q2_0_BYTES = (512 / 64) * 18;
const I2_S_BYTES = 128 + 32;

function fileOf({ types, sizes, architecture, fileType }: Case): Uint8Array<ArrayBuffer> {
  const padded = sizes.map((size) => Math.ceil(size / 32) * 32);
  const offsets = padded.map((_, index) => padded.slice(0, index).reduce((sum, size) => sum + size, 0));
  return b.file({
    metadata: [
      ...(architecture === undefined ? [] : [b.entry('general.architecture', VALUE.string, b.string(architecture))]),
      ...(fileType === undefined ? [] : [b.entry('general.file_type', VALUE.u32, b.u32(fileType))]),
    ],
    tensors: types.map((type, index) => b.tensor({ name: `t${index}`, dims: [256, 2], type, offset: offsets[index]! })),
    data: b.ramp(padded.reduce((sum, size) => sum + size, 0)),
  });
}

const cases: readonly Case[] = [
  {
    title: 'common types',
    types: [0, 35],
    sizes: [2048, 132],
    dialect: 'ggml',
    names: ['F32', 'TQ2_0'],
    reason: 'every',
  },
  { title: 'I2_S', types: [36], sizes: [I2_S_BYTES], dialect: 'bitnet.cpp', names: ['I2_S'], reason: 'the older' },
  { title: 'NVFP4', types: [40], sizes: [288], dialect: 'ggml', names: ['NVFP4'], reason: 'only ggml and' },
  {
    title: 'I2_S beside Q1_0',
    types: [36, 41],
    sizes: [I2_S_BYTES, 72],
    dialect: 'bitnet.cpp-2026',
    names: ['I2_S', 'Q1_0'],
    reason: 'no other dialect',
  },
  {
    title: 'I2_S beside 42',
    types: [36, 42],
    sizes: [I2_S_BYTES, TL2_BYTES],
    dialect: 'bitnet.cpp-2026',
    names: ['I2_S', 'TL2'],
    reason: 'no other dialect',
  },
  {
    title: '39 of MXFP4’s size',
    types: [39],
    sizes: [MXFP4_BYTES],
    dialect: 'ggml',
    names: ['MXFP4'],
    reason: 'byte sizes',
  },
  {
    title: '39 of TL2’s size',
    types: [39],
    sizes: [TL2_BYTES],
    dialect: 'bitnet.cpp',
    names: ['TL2'],
    reason: 'byte sizes',
  },
  {
    title: '42 of a size that fits both after padding, and another architecture',
    types: [42],
    sizes: [Q2_0_BYTES],
    architecture: 'qwen3',
    dialect: 'ggml',
    names: ['Q2_0'],
    reason: 'has no TL2 kernels',
  },
  {
    title: '39 with a BitNet’s metadata and loose data',
    types: [39],
    sizes: [1000],
    architecture: 'bitnet',
    fileType: 39,
    dialect: 'bitnet.cpp',
    names: ['TL2'],
    reason: 'general.file_type is 39',
  },
  {
    title: '39 with sizes and metadata of one mind',
    types: [39],
    sizes: [TL2_BYTES],
    architecture: 'bitnet-b1.58',
    fileType: 39,
    dialect: 'bitnet.cpp',
    names: ['TL2'],
    reason: 'byte sizes are those of TL2; general.file_type',
  },
  {
    title: '39 twice beside I2_S',
    types: [39, 36, 39],
    sizes: [MXFP4_BYTES, I2_S_BYTES, MXFP4_BYTES],
    dialect: 'bitnet.cpp-2026',
    names: ['MXFP4', 'I2_S', 'MXFP4'],
    reason: 'byte sizes',
  },
];

test.each(cases)('$title', async (given) => {
  const gguf = await openGguf(fileOf(given));
  expect(gguf.dialect.name).toBe(given.dialect);
  expect(gguf.dialect.reason).toContain(given.reason);
  expect(Array.from(gguf.tensors.values(), ({ type }) => type)).toEqual(given.names);
});

describe('a dialect given by the caller', () => {
  const undecided = fileOf({ ...cases[0]!, types: [42], sizes: [Q2_0_BYTES] });

  test('settles what cannot be decided', async () => {
    await expect(openGguf(undecided)).rejects.toMatchObject({ code: 'GGUF_UNDECIDED_DIALECT' });
    const ggml = await openGguf(undecided, { dialect: 'ggml' });
    expect(ggml.dialect).toEqual({ name: 'ggml', reason: 'given by the caller' });
    expect(ggml.tensors.get('t0')).toMatchObject({ type: 'Q2_0', sizeBytes: Q2_0_BYTES });
    const bitnet = await openGguf(undecided, { dialect: 'bitnet.cpp-2026' });
    expect(bitnet.tensors.get('t0')).toMatchObject({ type: 'TL2', sizeBytes: TL2_BYTES });
  });

  test('is followed: what it does not know is an error', async () => {
    const given = openGguf(fileOf(cases[1]!), { dialect: 'ggml' });
    await expect(given).rejects.toMatchObject({ code: 'GGUF_UNSUPPORTED_TENSOR_TYPE' });
    // @ts-expect-error -- no such dialect
    await expect(openGguf(undecided, { dialect: 'llama.cpp' })).rejects.toThrow(TypeError);
  });
});

test('the I2_S layout is the option’s, or 128x32', async () => {
  expect((await openGguf(b.smallFile())).i2sLayout).toBe('128x32');
  expect((await openGguf(b.smallFile(), { i2sLayout: '64x16' })).i2sLayout).toBe('64x16');
  // @ts-expect-error -- no such layout
  await expect(openGguf(b.smallFile(), { i2sLayout: '32x8' })).rejects.toThrow(TypeError);
});
