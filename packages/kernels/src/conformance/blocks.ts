import type { BlockKernels } from '../contract-blocks.ts';
import type { Kernels, Lanes, Pointer } from '../contract.ts';
import { type Arena, type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

const LANES: readonly Lanes[] = [8, 16];

interface BlockType {
  readonly name: string;
  readonly columns: number;
  readonly bytes: number;
  /** Where a block has its f16 scale. */
  readonly scaleAt: number;
  readonly product: 'q8_0Gemm' | 'q4_0Gemm' | 'q6KGemm' | 'tq2_0Gemm';
  readonly widen: 'widenQ8_0' | 'widenQ4_0' | 'widenQ6K' | 'widenTq2_0';
}

const TYPES: readonly BlockType[] = [
  { name: 'Q8_0', columns: 32, bytes: 34, scaleAt: 0, product: 'q8_0Gemm', widen: 'widenQ8_0' },
  { name: 'Q4_0', columns: 32, bytes: 18, scaleAt: 0, product: 'q4_0Gemm', widen: 'widenQ4_0' },
  { name: 'Q6_K', columns: 256, bytes: 210, scaleAt: 208, product: 'q6KGemm', widen: 'widenQ6K' },
  { name: 'TQ2_0', columns: 256, bytes: 66, scaleAt: 64, product: 'tq2_0Gemm', widen: 'widenTq2_0' },
];

/** f16 bits that are no ordinary scales: zeros, subnormals, the largest, infinities and NaN. */
const ODD_SCALES = [0, 0x8000, 1, 0x83ff, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e01];

export function blockCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 9);
  return [
    ...TYPES.flatMap((type) => productCases(type, random)),
    ...TYPES.map((type) => widenCase(type, random)),
    ...quantizeCases(random),
    ...floatCases(random),
    transcodeCase(random),
    ...findCases(random),
  ];
}

/** Whole blocks: any bytes, scales from `scales`. */
function blocksOf(type: BlockType, count: number, random: Random, scales: () => number): Uint8Array {
  const bytes = new Uint8Array(random.int8(count * type.bytes).buffer);
  for (let at = type.scaleAt; at < bytes.length; at += type.bytes) {
    const bits = scales();
    bytes[at] = bits & 0xff;
    bytes[at + 1] = bits >> 8;
  }
  return bytes;
}

/** Quantized rows in the arena, with sums that are those of the values. */
function quantizedRows(arena: Arena, type: BlockType, values: Int8Array, scales: ArrayLike<number>) {
  const sums = Array.from({ length: values.length / 16 }, (_, i) =>
    values.subarray(16 * i, 16 * i + 16).reduce((sum, value) => sum + value, 0),
  );
  return {
    values: arena.input('values', 'i8', values),
    scales: arena.input('scales', 'f32', scales),
    sums: type.name === 'TQ2_0' ? arena.input('sums', 'f16', sums) : 0, // int16, bit by bit
  };
}

function multiply(
  kernels: Kernels,
  type: BlockType,
  weights: Pointer,
  [begin, end, width, count]: readonly [number, number, number, number],
  rows: { values: Pointer; scales: Pointer; sums: Pointer },
  out: Pointer,
  stride: number,
): void {
  const { values, scales, sums } = rows;
  if (type.product === 'tq2_0Gemm') {
    kernels.tq2_0Gemm(weights, begin, end, width, values, scales, sums, count, out, stride);
  } else kernels[type.product](weights, begin, end, width, values, scales, count, out, stride);
}

function productCases(type: BlockType, random: Random): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  /** No quantizer gives -128, and products of i8 with it would not be exact. */
  const lowest = type.name === 'Q8_0' ? -127 : -128;
  const randomValues = (length: number): Int8Array => random.int8(length).map((value) => Math.max(lowest, value));
  const add = (
    name: string,
    shape: { rows: number; width: number; count: number; begin?: number; end?: number },
    weights: Uint8Array,
    values: Int8Array,
    scales: ArrayLike<number>,
  ): void => {
    const { rows, width, count, begin = 0, end = rows } = shape;
    cases.push(
      conformanceCase(`${type.product} ${name}, ${rows} x ${width}, ${count} row(s), ${begin}..${end}`, (arena) => {
        const matrix = arena.input('weights', 'u8', weights);
        const quantized = quantizedRows(arena, type, values, scales);
        const stride = rows + 3;
        const out = arena.output('out', 'f32', count * stride);
        return (kernels) => multiply(kernels, type, matrix, [begin, end, width, count], quantized, out, stride);
      }),
    );
  };
  for (const [rows, blocks, count] of [
    [1, 1, 1],
    [5, 3, 1],
    [13, 2, 3],
    [8, 10, 2],
    [3, 256 / type.columns, 5],
  ] as const) {
    const width = blocks * type.columns;
    const weights = blocksOf(type, rows * blocks, random, () => random.f16(1)[0]! & 0xbfff);
    add('random', { rows, width, count }, weights, randomValues(count * width), random.normal(count * blocks));
  }
  const ranged = blocksOf(type, 24, random, () => random.f16(1)[0]! & 0xbfff);
  const shape = { rows: 12, width: 2 * type.columns, count: 2, begin: 4, end: 8 };
  add('a range of rows', shape, ranged, randomValues(2 * shape.width), random.normal(4));
  // Scales that are not finite, too small or too large, against ordinary ones and each other.
  const odd = [0, -0, 1, -3e-41, 3e38, Infinity, -Infinity, Number.NaN];
  const oddWeights = blocksOf(type, ODD_SCALES.length, random, () => 0);
  for (const [row, bits] of ODD_SCALES.entries()) {
    oddWeights[row * type.bytes + type.scaleAt] = bits & 0xff;
    oddWeights[row * type.bytes + type.scaleAt + 1] = bits >> 8;
  }
  const oddShape = { rows: ODD_SCALES.length, width: type.columns, count: odd.length };
  add('odd scales', oddShape, oddWeights, randomValues(odd.length * type.columns), odd);
  // The largest sums of either sign: every byte the same, every value the same.
  for (const byte of [0x00, 0x55, 0x7f, 0x80, 0xaa, 0xff]) {
    for (const value of new Set([lowest, -127, 127])) {
      const blocks = 2;
      const weights = new Uint8Array(2 * blocks * type.bytes).fill(byte);
      for (let at = type.scaleAt; at < weights.length; at += type.bytes) weights.set([0, 0x3c], at); // 1.0
      const width = blocks * type.columns;
      const same = new Int8Array(width).fill(value);
      add(`byte ${byte} times ${value}`, { rows: 2, width, count: 1 }, weights, same, [1, 0.37]);
    }
  }
  return cases;
}

function widenCase(type: BlockType, random: Random): ConformanceCase {
  return conformanceCase(`${type.widen}, odd scales too`, (arena) => {
    const blocks = 3 * ODD_SCALES.length;
    let next = 0;
    const scale = (): number => (next++ % 3 === 0 ? ODD_SCALES[next % ODD_SCALES.length]! : random.f16(1)[0]!);
    const source = arena.input('source', 'u8', blocksOf(type, blocks, random, scale));
    const out = arena.output('out', 'f32', blocks * type.columns);
    return (kernels) => kernels[type.widen](source, blocks * type.columns, out);
  });
}

function quantizeCases(random: Random): ConformanceCase[] {
  const width = 512;
  const specials = [Infinity, -Infinity, Number.NaN, 0, -0, 2 ** -149, 3e38, 1e-38];
  const inputs: readonly (readonly [name: string, x: Float32Array])[] = [
    ['random', random.normal(4 * width, 3)],
    ['of every magnitude', random.wide(4 * width)],
    ['tiny', random.wide(4 * width, -149, -120)],
    ['zeros', new Float32Array(4 * width)],
    ['whole numbers and halves', random.normal(4 * width, 40).map((value) => Math.round(2 * value) / 2)],
    // Of equals in magnitude the first decides the sign.
    ['equals of both signs', random.normal(4 * width).map((value) => (value < 0 ? -127 : 127))],
    ['special values', random.normal(4 * width).map((value, i) => (i % 67 === 0 ? specials[(i / 67) % 8]! : value))],
  ];
  return inputs.flatMap(([name, x]) => [
    conformanceCase(`quantizeRowsQ8_0 ${name}`, (arena) => {
      const source = arena.input('x', 'f32', x);
      const values = arena.output('values', 'i8', 4 * width);
      const scales = arena.output('scales', 'f32', (4 * width) / 32);
      return (kernels) => kernels.quantizeRowsQ8_0(source, 1, 4, width, values, scales);
    }),
    conformanceCase(`quantizeRowsQ8K ${name}`, (arena) => {
      const source = arena.input('x', 'f32', x);
      const values = arena.output('values', 'i8', 4 * width);
      const scales = arena.output('scales', 'f32', (4 * width) / 256);
      const sums = arena.output('sums', 'f16', (4 * width) / 16);
      return (kernels) => kernels.quantizeRowsQ8K(source, 1, 4, width, values, scales, sums);
    }),
  ]);
}

function floatCases(random: Random): ConformanceCase[] {
  const cases: ConformanceCase[] = [
    conformanceCase('roundToBf16, boundaries and special values, in place', (arena) => {
      const bits = new Uint32Array([0x7f800000, 0xff800000, 0x7fc00001, 0x7f7fffff, 0, 0x80000000, 1, 0x8000]);
      const ties = new Uint32Array(4096).map(() => random.u32() & 0x7f7fffff);
      for (let i = 0; i < ties.length; i++) ties[i] = (ties[i]! & ~0xffff) | [0x7fff, 0x8000, 0x8001, 0][i % 4]!;
      const values = new Float32Array([...new Float32Array(bits.buffer), ...new Float32Array(ties.buffer)]);
      const source = arena.input('source', 'f32', values);
      return (kernels) => kernels.roundToBf16(source, values.length, source);
    }),
    conformanceCase('widenBf16, every bf16', (arena) => {
      const source = arena.input(
        'source',
        'f16',
        Array.from({ length: 0x10000 }, (_, bits) => bits),
      );
      const out = arena.output('out', 'f32', 0x10000);
      return (kernels) => kernels.widenBf16(source, 0x10000, out);
    }),
    conformanceCase('copyF32', (arena) => {
      const source = arena.input('source', 'f32', random.wide(100));
      const out = arena.output('out', 'f32', 100);
      return (kernels) => kernels.copyF32(source, 100, out);
    }),
  ];
  for (const lanes of LANES) {
    for (const width of [32, 64, 96, 288, 2560]) {
      for (const [name, low, high] of [
        ['', -2, 2],
        [' of every magnitude', -149, 60],
      ] as const) {
        const shape = `${width} columns, ${lanes} lanes${name}`;
        cases.push(
          conformanceCase(`f32Gemv ${shape}`, (arena) => {
            const matrix = arena.input('matrix', 'f32', random.wide(7 * width, low, high));
            const vector = arena.input('vector', 'f32', random.wide(width, low, high));
            const out = arena.output('out', 'f32', 7);
            return (kernels) => kernels.f32Gemv(matrix, 1, 7, width, vector, out, lanes);
          }),
        );
        for (const count of [1, 2, 5]) {
          for (const operation of ['f32Gemm', 'bf16Gemm'] as const) {
            cases.push(
              conformanceCase(`${operation} ${shape}, ${count} vector(s)`, (arena) => {
                const elements = random.wide(7 * width, low, high);
                const matrix =
                  operation === 'f32Gemm'
                    ? arena.input('matrix', 'f32', elements)
                    : arena.input('matrix', 'f16', bf16Bits(elements));
                const given = random.wide(count * width, low, high);
                const vectors = arena.input('vectors', 'f32', operation === 'f32Gemm' ? given : bf16Values(given));
                const out = arena.output('out', 'f32', count * 9);
                return (kernels: BlockKernels) =>
                  kernels[operation](matrix, 1, 7, width, vectors, count, out, 9, lanes);
              }),
            );
          }
        }
      }
    }
  }
  return cases;
}

/** The upper halves of f32. */
function bf16Bits(values: Float32Array): number[] {
  return Array.from(new Uint32Array(values.buffer), (word) => word >>> 16);
}

function bf16Values(values: Float32Array): Float32Array {
  return new Float32Array(new Uint32Array(values.buffer).map((word) => word & 0xffff0000).buffer);
}

function transcodeCase(random: Random): ConformanceCase {
  return conformanceCase('tq1_0ToTq2_0, every byte in every place', (arena) => {
    const blocks = 256 + 8;
    const bytes = new Uint8Array(random.int8(blocks * 54).buffer);
    for (let i = 0; i < 256 * 54; i++) bytes[i] = (Math.floor(i / 54) + 7 * (i % 54)) & 0xff;
    const source = arena.input('source', 'u8', bytes);
    const out = arena.output('out', 'u8', blocks * 66);
    return (kernels) => kernels.tq1_0ToTq2_0(source, blocks * 256, out);
  });
}

function findCases(random: Random): ConformanceCase[] {
  return [undefined, 0, 3, 9, 31].flatMap((bad) => [
    conformanceCase(`findNonFiniteF32 ${bad}`, (arena) => {
      const values = random.wide(32, -149, 127);
      if (bad !== undefined) values[bad] = bad % 2 === 0 ? Number.NaN : -Infinity;
      const source = arena.input('source', 'f32', values);
      const result = arena.output('result', 'f32', 1);
      return (kernels) => arena.set(result, kernels.findNonFiniteF32(source, 32));
    }),
    conformanceCase(`findNonFiniteBf16 ${bad}`, (arena) => {
      const bits = bf16Bits(random.wide(32, -126, 127));
      if (bad !== undefined) bits[bad] = bad % 2 === 0 ? 0x7fc1 : 0xff80;
      const source = arena.input('source', 'f16', bits);
      const result = arena.output('result', 'f32', 1);
      return (kernels) => arena.set(result, kernels.findNonFiniteBf16(source, 32));
    }),
    conformanceCase(`findNonFiniteScale ${bad}`, (arena) => {
      const scales = random.f16(32);
      if (bad !== undefined) scales[bad] = bad % 2 === 0 ? 0x7e00 : 0xfc00;
      const bytes = new Uint8Array(32 * 34).fill(0xff);
      for (const [i, bits] of scales.entries()) bytes.set([bits & 0xff, bits >> 8], 34 * i + 2);
      const source = arena.input('source', 'u8', bytes);
      const result = arena.output('result', 'f32', 1);
      return (kernels) => arena.set(result, kernels.findNonFiniteScale(source + 2, 32, 34));
    }),
  ]);
}
