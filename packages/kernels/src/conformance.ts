import { attentionScratchBytes, type Kernels, type Lanes, type Pointer } from './contract.ts';
import type { Tl1Tiling } from './layouts.ts';
import type { KernelMemory } from './memory.ts';
import { f16Value } from './reference/float.ts';
import { referenceKernels } from './reference/kernels.ts';

/** An implementation under test, and the memory that its pointers point into. */
export interface KernelsUnderTest extends Kernels {
  readonly memory: KernelMemory;
  /** Called with the scratch that a case needs, for kernels that have their own for each thread. */
  reserveScratch?(sizeBytes: number): void;
  /** Called before results are compared, for kernels that record calls. */
  flush?(): void;
}

/** An implementation differs from the reference. */
export class ConformanceError extends Error {
  override readonly name = 'ConformanceError';
}

export interface ConformanceCase {
  readonly name: string;
  /**
   * Runs the operation on the reference and on `kernels` over the same bytes, and compares every byte of every array,
   * inputs and surroundings included: floats by their bits, NaN equal to NaN.
   *
   * @returns the number of values compared, more than 0
   * @throws {ConformanceError} naming the array, the index and both values
   */
  run(kernels: KernelsUnderTest): number;
}

/**
 * Runs every case. The one suite for every implementation of {@link Kernels}: shapes, extremes and random input.
 *
 * @returns the number of values compared
 * @throws {ConformanceError} at the first difference
 */
export function conformance(kernels: KernelsUnderTest, seed = 1): number {
  return conformanceCases(seed).reduce((compared, testCase) => compared + testCase.run(kernels), 0);
}

/** The cases by themselves, for a test runner to list. The same seed gives the same inputs. */
export function conformanceCases(seed = 1): ConformanceCase[] {
  return [
    ...quantizeCases(seed),
    ...ternaryCases(seed),
    ...tl1Cases(seed),
    ...normCases(seed),
    ...ropeCases(seed),
    ...f16Cases(seed),
    ...attentionCases(seed),
    ...elementwiseCases(seed),
  ];
}

// ------------------------------------------------------------------------------------------------------------ machinery

type ElementType = 'f32' | 'f16' | 'i32' | 'i8' | 'u8';
const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = { f32: 4, f16: 2, i32: 4, i8: 1, u8: 1 };
const GUARD_BYTES = 64;
const GUARD_VALUE = 0xa5;

interface ArenaArray {
  readonly name: string;
  readonly type: ElementType;
  readonly pointer: Pointer;
  readonly length: number;
  readonly compared: boolean;
}

/** Arrays of one case, with guard bytes between them. */
class Arena {
  readonly #memory: KernelMemory;
  readonly arrays: ArenaArray[] = [];
  constructor(memory: KernelMemory) {
    this.#memory = memory;
  }

  input(name: string, type: ElementType, values: ArrayLike<number>): Pointer {
    const pointer = this.#add(name, type, values.length, true);
    if (type === 'f32') this.#memory.f32(pointer, values.length).set(values);
    else if (type === 'f16') this.#memory.u16(pointer, values.length).set(values);
    else if (type === 'i32') this.#memory.i32(pointer, values.length).set(values);
    else this.#memory.bytes(pointer, values.length).set(Uint8Array.from(values));
    return pointer;
  }

  /** Starts as a pattern that no kernel writes by chance. */
  output(name: string, type: ElementType, length: number): Pointer {
    return this.#add(name, type, length, true);
  }

  /** For a result that an operation returns instead of writing it. */
  set(output: Pointer, value: number): void {
    this.#memory.f32(output, 1)[0] = value;
  }

  /** Not compared, but guarded. */
  scratch(lengthBytes: number): Pointer {
    return this.#add('scratch', 'u8', lengthBytes, false);
  }

  #add(name: string, type: ElementType, length: number, compared: boolean): Pointer {
    const sizeBytes = length * ELEMENT_BYTES[type];
    const guarded = this.#memory.allocate(sizeBytes + 2 * GUARD_BYTES);
    this.#memory.bytes(guarded, sizeBytes + 2 * GUARD_BYTES).fill(GUARD_VALUE);
    const pointer = guarded + GUARD_BYTES;
    this.arrays.push({ name, type, pointer, length, compared });
    return pointer;
  }

  snapshot(): Uint8Array[] {
    return this.arrays.map((array) => this.#guarded(array).slice());
  }

  restore(snapshot: readonly Uint8Array[]): void {
    for (const [index, array] of this.arrays.entries()) this.#guarded(array).set(snapshot[index]!);
  }

  free(): void {
    for (const { pointer } of this.arrays) this.#memory.free(pointer - GUARD_BYTES);
  }

  #guarded({ pointer, type, length }: ArenaArray): Uint8Array {
    return this.#memory.bytes(pointer - GUARD_BYTES, length * ELEMENT_BYTES[type] + 2 * GUARD_BYTES);
  }
}

function conformanceCase(name: string, prepare: (arena: Arena) => (kernels: Kernels) => void): ConformanceCase {
  return {
    name,
    run(kernels) {
      const arena = new Arena(kernels.memory);
      try {
        const operation = prepare(arena);
        kernels.reserveScratch?.(Math.max(...arena.arrays.map(({ compared, length }) => (compared ? 0 : length))));
        const before = arena.snapshot();
        operation(referenceKernels(kernels.memory));
        const expected = arena.snapshot();
        arena.restore(before);
        operation(kernels);
        kernels.flush?.();
        return compare(name, arena.arrays, arena.snapshot(), expected);
      } finally {
        arena.free();
      }
    },
  };
}

function compare(name: string, arrays: readonly ArenaArray[], actual: Uint8Array[], expected: Uint8Array[]): number {
  let compared = 0;
  for (const [index, array] of arrays.entries()) {
    const a = actual[index]!;
    const e = expected[index]!;
    const end = a.length - GUARD_BYTES;
    const outside = a.findIndex((byte, at) => (at < GUARD_BYTES || at >= end) && byte !== GUARD_VALUE);
    if (outside >= 0)
      throw new ConformanceError(`${name}: wrote outside of ${array.name}, at byte ${outside - GUARD_BYTES}`);
    if (!array.compared) continue;
    const got = elements(array.type, a.slice(GUARD_BYTES, end));
    const want = elements(array.type, e.slice(GUARD_BYTES, end));
    for (let i = 0; i < array.length; i++) {
      if (!Object.is(got[i], want[i])) {
        throw new ConformanceError(`${name}: ${array.name}[${i}] is ${got[i]}, the reference gives ${want[i]}`);
      }
    }
    compared += array.length;
  }
  if (!(compared > 0)) throw new ConformanceError(`${name}: nothing was compared`);
  return compared;
}

function elements(type: ElementType, bytes: Uint8Array<ArrayBuffer>): ArrayLike<number> {
  if (type === 'f32') return new Float32Array(bytes.buffer);
  if (type === 'f16') return new Uint16Array(bytes.buffer);
  if (type === 'i32') return new Int32Array(bytes.buffer);
  return type === 'i8' ? new Int8Array(bytes.buffer) : bytes;
}

/** Random numbers for inputs (mulberry32). */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return this.u32() % limit;
  }

  /** About normal, standard deviation `scale`. */
  normal(length: number, scale = 1): Float32Array {
    return Float32Array.from({ length }, () => {
      let sum = -6;
      for (let i = 0; i < 12; i++) sum += this.u32() / 2 ** 32;
      return sum * scale;
    });
  }

  /** Finite f32 of every magnitude between 2^low and 2^high. */
  wide(length: number, low = -140, high = 127): Float32Array {
    return Float32Array.from({ length }, () => {
      const exponent = low + this.below(high - low);
      return (this.u32() & 1 ? -1 : 1) * (1 + this.u32() / 2 ** 32) * 2 ** exponent;
    });
  }

  /** Bits of finite f16. */
  f16(length: number): number[] {
    return Array.from({ length }, () => {
      const bits = this.below(0x10000);
      return (bits & 0x7c00) === 0x7c00 ? bits & 0x83ff : bits;
    });
  }

  /** Bits of f16 between -2 and 2. */
  smallF16(length: number): number[] {
    return Array.from({ length }, () => (this.below(2) << 15) | this.below(0x4000));
  }

  codes(length: number): Uint8Array {
    return Uint8Array.from(
      { length },
      () => this.#code() | (this.#code() << 2) | (this.#code() << 4) | (this.#code() << 6),
    );
  }

  /** Bytes of two nibbles 0..8. */
  nibbles(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => (this.below(9) << 4) | this.below(9));
  }

  int8(length: number): Int8Array {
    return Int8Array.from({ length }, () => this.below(256) - 128);
  }

  #code(): number {
    return this.below(3);
  }
}

const LANES: readonly Lanes[] = [8, 16];

// ---------------------------------------------------------------------------------------------------------------- cases

function quantizeCases(seed: number): ConformanceCase[] {
  const random = new Random(seed);
  const quantizeCase = (name: string, rows: number, width: number, x: Float32Array): ConformanceCase[] =>
    (['quantizeRows', 'quantizeRowsTl1'] as const).map((operation) =>
      conformanceCase(`${operation} ${name} ${rows} x ${width}`, (arena) => {
        const input = arena.input('x', 'f32', x);
        const values = arena.output('values', 'i8', rows * width);
        const scales = arena.output('scales', 'f32', rows);
        const sums = arena.output('sums', 'i32', rows);
        return (kernels) => {
          // Two ranges, the second first: rows are independent.
          kernels[operation](input, rows >> 1, rows, width, values, scales, sums);
          kernels[operation](input, 0, rows >> 1, width, values, scales, sums);
        };
      }),
    );
  const ties = Float32Array.from({ length: 256 }, (_, i) => (i === 0 ? 127 : (i - 128) / 2)); // scale 1: every half
  const spike = new Float32Array(256).fill(0.001);
  spike[77] = -3.4e38;
  return [
    ...[16, 128, 2560, 6912].map((width) => quantizeCase('random', 3, width, random.normal(3 * width, 4))),
    quantizeCase('of every magnitude', 2, 512, random.wide(1024, -149, 120)),
    quantizeCase('zeros', 1, 128, new Float32Array(128)),
    quantizeCase('below the floor of 1e-5', 1, 128, random.normal(128, 1e-7)),
    quantizeCase('ties', 1, 256, ties),
    quantizeCase('one spike', 1, 256, spike),
    quantizeCase('all equal to the largest', 1, 256, new Float32Array(256).fill(0.1)),
    quantizeCase('beside the floor of 1e-5', 4, 16, random.normal(64, 4e-6)),
    quantizeCase('of an infinite scale', 2, 128, random.wide(256, -149, -122)),
  ].flat();
}

function ternaryCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 1);
  const ternaryCase = (
    name: string,
    shape: { rows: number; width: number; count: number; begin?: number; end?: number },
    codes: Uint8Array,
    values: Int8Array,
  ): ConformanceCase => {
    const { rows, width, count, begin = 0, end = rows } = shape;
    const operation = count === 1 ? 'i2sGemv' : 'i2sGemm';
    return conformanceCase(`${operation} ${name} ${rows} x ${width}, ${count} row(s), ${begin}..${end}`, (arena) => {
      const stride = rows + 8;
      const weights = arena.input('weights', 'u8', codes);
      const quantized = arena.input('values', 'i8', values);
      const scales = arena.input(
        'scales',
        'f32',
        random.normal(count).map((value) => Math.abs(value) * 40 + 1),
      );
      const sums = arena.input(
        'sums',
        'i32',
        Array.from({ length: count }, (_, i) => values.subarray(i * width, (i + 1) * width).reduce((a, b) => a + b, 0)),
      );
      const out = arena.output('out', 'f32', count * stride);
      const scratch = arena.scratch(4 * width + 256);
      return (kernels) => {
        if (count === 1) kernels.i2sGemv(weights, begin, end, width, 0.0371, quantized, scales, sums, out, scratch);
        else kernels.i2sGemm(weights, begin, end, width, 0.0371, quantized, scales, sums, count, out, stride, scratch);
      };
    });
  };
  const cases: ConformanceCase[] = [];
  for (const [rows, width] of [
    [4, 128],
    [12, 384],
    [32, 2560],
    [8, 6912],
    [4, 65_536],
  ] as const) {
    for (const count of [1, 2, 3, 5]) {
      cases.push(
        ternaryCase('random', { rows, width, count }, random.codes((rows * width) / 4), random.int8(count * width)),
      );
    }
  }
  for (const count of [1, 4]) {
    const shape = { rows: 24, width: 256, count, begin: 8, end: 16 };
    cases.push(ternaryCase('a range of rows', shape, random.codes(24 * 64), random.int8(count * 256)));
  }
  for (const layout of [128, 64] as const) {
    for (const [rows, columns] of [
      [2, 128],
      [6, 384],
    ] as const) {
      for (const invalid of [false, true]) {
        const name = `packRowPairs ${layout}, ${rows} x ${columns}${invalid ? ', with a code 3' : ''}`;
        cases.push(
          conformanceCase(name, (arena) => {
            const codes = random.codes((rows * columns) / 4);
            if (invalid) codes[random.below(codes.length)]! |= 3 << (2 * random.below(4));
            const packed = arena.input('packed', 'u8', codes);
            // Where a row is refused the output is undefined: then only the result counts.
            const out = invalid ? arena.scratch(codes.length) : arena.output('out', 'u8', codes.length);
            const result = arena.output('result', 'f32', 1);
            return (kernels) => arena.set(result, kernels.packRowPairs(packed, rows, columns, layout, out));
          }),
        );
      }
    }
  }
  // The largest sums of either sign: every code with every extreme value.
  for (const code of [0, 1, 2]) {
    for (const value of [-128, -127, 127]) {
      for (const count of [1, 3]) {
        const shape = { rows: 4, width: 6912, count };
        const codes = new Uint8Array(6912).fill(code * 0b01010101);
        cases.push(ternaryCase(`code ${code} times ${value}`, shape, codes, new Int8Array(count * 6912).fill(value)));
      }
    }
  }
  return cases;
}

function tl1Cases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 7);
  const cases: ConformanceCase[] = [];
  // The tilings of the reference's presets (section 4), and others, each over two tiles or more in both directions.
  const tilings: readonly (readonly [tiling: Tl1Tiling, rows: number, columns: number])[] = [
    [[256, 128, 32], 512, 256],
    [[128, 64, 64], 256, 384],
    [[160, 64, 32], 320, 128],
    [[320, 128, 64], 640, 256],
    [[320, 64, 32], 640, 128],
    [[32, 8, 32], 96, 128],
    [[64, 4, 64], 64, 128],
    [[192, 384, 64], 192, 384],
  ];
  for (const [tiling, rows, columns] of tilings) {
    const [tileRows, tileColumns, innerRows] = tiling;
    for (const operation of ['tl1ToRowPairs', 'tl1ToTiles'] as const) {
      for (const bad of [0, 1, 3]) {
        const name = `${operation} ${tiling.join()}, ${rows} x ${columns}, ${bad} nibble(s) invalid`;
        cases.push(
          conformanceCase(name, (arena) => {
            const nibbles = random.nibbles((rows * columns) / 4);
            for (let i = 0; i < bad; i++) {
              const at = random.below(nibbles.length);
              const nibble = 9 + random.below(7);
              nibbles[at] =
                random.below(2) === 0 ? (nibbles[at]! & 0xf0) | nibble : (nibbles[at]! & 0x0f) | (nibble << 4);
            }
            const packed = arena.input('packed', 'u8', nibbles);
            // Where a row is refused the output is undefined: then only the result counts.
            const out = bad > 0 ? arena.scratch(nibbles.length) : arena.output('out', 'u8', nibbles.length);
            const result = arena.output('result', 'f32', 1);
            return (kernels) =>
              arena.set(result, kernels[operation](packed, rows, columns, tileRows, tileColumns, innerRows, out));
          }),
        );
      }
    }
  }
  const gemvCase = (
    name: string,
    shape: { rows: number; width: number; begin?: number; end?: number },
    nibbles: Uint8Array,
    values: Int8Array,
  ): ConformanceCase => {
    const { rows, width, begin = 0, end = rows } = shape;
    return conformanceCase(`tl1Gemv ${name} ${rows} x ${width}, ${begin}..${end}`, (arena) => {
      const weights = arena.input('weights', 'u8', nibbles);
      const quantized = arena.input('values', 'i8', values);
      const scales = arena.input('scales', 'f32', [17.3]);
      const out = arena.output('out', 'f32', rows);
      const scratch = arena.scratch(16 * width);
      return (kernels) => kernels.tl1Gemv(weights, begin, end, width, 0.0371, quantized, scales, out, scratch);
    });
  };
  for (const [rows, width] of [
    [32, 128],
    [96, 384],
    [160, 2560],
    [32, 6912],
    [32, 65_536],
  ] as const) {
    cases.push(gemvCase('random', { rows, width }, random.nibbles((rows * width) / 4), random.int8(width)));
  }
  cases.push(
    gemvCase('a range of rows', { rows: 128, width: 256, begin: 32, end: 96 }, random.nibbles(8192), random.int8(256)),
  );
  // The largest sums of either sign: every pair code with every pair of extreme values.
  for (let nibble = 0; nibble <= 8; nibble++) {
    for (const a of [-128, -127, 127]) {
      for (const b of [-128, -127, 127]) {
        const nibbles = new Uint8Array(8 * 6912).fill(nibble * 0x11);
        const values = Int8Array.from({ length: 6912 }, (_, i) => (i % 2 === 0 ? a : b));
        cases.push(gemvCase(`pair code ${nibble} times ${a}, ${b}`, { rows: 32, width: 6912 }, nibbles, values));
      }
    }
  }
  return cases;
}

function normCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 2);
  const normCase = (
    name: string,
    rows: number,
    width: number,
    x: Float32Array,
    withNormalized: boolean,
  ): ConformanceCase =>
    conformanceCase(`rmsNorm ${name} ${rows} x ${width}${withNormalized ? ', normalized too' : ''}`, (arena) => {
      const input = arena.input('x', 'f32', x);
      const weight = arena.input('weight', 'f32', random.normal(width));
      const out = arena.output('out', 'f32', rows * width);
      const normalized = withNormalized ? arena.output('normalized', 'f32', rows * width) : 0;
      return (kernels) => kernels.rmsNorm(input, weight, 0, rows, width, Math.fround(1e-5), out, normalized);
    });
  return [
    normCase('random', 3, 256, random.normal(768), true),
    normCase('random', 2, 6912, random.normal(2 * 6912, 30), false),
    normCase('of every magnitude', 2, 512, random.wide(1024, -149, 60), true),
    normCase('zeros', 1, 128, new Float32Array(128), true),
    normCase('subnormal', 1, 128, random.wide(128, -149, -127), true),
  ];
}

function ropeCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 3);
  const cases: ConformanceCase[] = [];
  for (const [base, headDim] of [
    [10_000, 64],
    [500_000, 128],
    [10_000, 96],
    [1_000_000, 16],
  ] as const) {
    cases.push(
      conformanceCase(`ropeRatio and ropeTable, base ${base}, head ${headDim}, positions 0..4095`, (arena) => {
        const ratio = arena.output('ratio', 'f32', 1);
        const cosines = arena.output('cosines', 'f32', (4096 * headDim) / 2);
        const sines = arena.output('sines', 'f32', (4096 * headDim) / 2);
        return (kernels) => {
          const value = kernels.ropeRatio(base, headDim);
          arena.set(ratio, value);
          kernels.ropeTable(0, 100, headDim, value, cosines, sines);
          kernels.ropeTable(100, 4096, headDim, value, cosines, sines);
        };
      }),
      conformanceCase(`ropeNeox, head ${headDim}`, (arena) => {
        const x = arena.input('x', 'f32', random.normal(3 * 5 * headDim));
        const cosines = arena.input('cosines', 'f32', random.normal((10 * headDim) / 2));
        const sines = arena.input('sines', 'f32', random.normal((10 * headDim) / 2));
        return (kernels) => kernels.ropeNeox(x, 1, 3, 5, headDim, 7, cosines, sines);
      }),
    );
  }
  return cases;
}

function f16Cases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 4);
  const everyF16 = Array.from({ length: 0x10000 }, (_, bits) => bits);
  // Every finite f16, the mid-points between neighbours, and the f32 beside each: all decisions of the rounding.
  const boundaries = new Float32Array(6 * 0x7c00);
  for (let bits = 0; bits < 0x7c00; bits++) {
    const value = f16Value(bits);
    const next = bits === 0x7bff ? 65_536 : f16Value(bits + 1);
    const middle = (value + next) / 2;
    boundaries.set([value, -value, middle, -middle, middle * (1 + 2 ** -23), middle * (1 - 2 ** -23)], 6 * bits);
  }
  const specials = [
    0,
    -0,
    Infinity,
    -Infinity,
    Number.NaN,
    65_519.99,
    65_520,
    1e30,
    2 ** -149,
    -(2 ** -25),
    2 ** -25,
    2 ** -24,
  ];
  const cases = [
    conformanceCase('widenF16, every f16', (arena) => {
      const source = arena.input('source', 'f16', everyF16);
      const out = arena.output('out', 'f32', everyF16.length);
      return (kernels) => kernels.widenF16(source, everyF16.length, out);
    }),
    ...[[], [3], [0x7c00], [0, 0xffff], [9, 0x7e01]].map((bad, index) =>
      conformanceCase(`findNonFiniteF16 ${index}`, (arena) => {
        const values = random.f16(64);
        if (bad.length > 0) values[7 * index + 1] = bad.at(-1)!;
        const source = arena.input('source', 'f16', values);
        const result = arena.output('result', 'f32', 1);
        return (kernels) => arena.set(result, kernels.findNonFiniteF16(source, 64));
      }),
    ),
    conformanceCase('roundToF16, every boundary', (arena) => {
      const source = arena.input('source', 'f32', boundaries);
      const out = arena.output('out', 'f32', boundaries.length);
      return (kernels) => kernels.roundToF16(source, boundaries.length, out);
    }),
    conformanceCase('roundToF16, special values, in place', (arena) => {
      const source = arena.input('source', 'f32', specials);
      return (kernels) => kernels.roundToF16(source, specials.length, source);
    }),
  ];
  for (const lanes of LANES) {
    for (const width of [4, 32, 36, 64, 96, 100, 160, 2560]) {
      cases.push(
        conformanceCase(`f16Gemv ${width} columns, ${lanes} lanes`, (arena) => {
          const matrix = arena.input('matrix', 'f16', random.smallF16(5 * (width + 4)));
          const vector = arena.input('vector', 'f32', random.smallF16(width).map(f16Value));
          const out = arena.output('out', 'f32', 5);
          const scratch = arena.scratch(4 * width);
          return (kernels) => kernels.f16Gemv(matrix, 1, 5, width, width + 4, vector, out, lanes, scratch);
        }),
      );
    }
    for (const width of [16, 64, 112, 2560]) {
      for (const count of [1, 2, 3, 4, 6]) {
        cases.push(
          conformanceCase(`f16Gemm ${width} columns, ${count} vector(s), ${lanes} lanes`, (arena) => {
            const matrix = arena.input('matrix', 'f16', random.smallF16(3 * (width + 8)));
            const vectors = arena.input('vectors', 'f32', random.normal(count * (width + 4), 3));
            const out = arena.output('out', 'f32', count * 5);
            const scratch = arena.scratch(4 * width);
            return (kernels) =>
              kernels.f16Gemm(matrix, 0, 3, width, width + 8, vectors, width + 4, count, out, 5, lanes, scratch);
          }),
        );
      }
    }
    cases.push(
      conformanceCase(`f16Gemm of every magnitude, ${lanes} lanes`, (arena) => {
        const matrix = arena.input('matrix', 'f16', random.f16(8 * 64));
        const vectors = arena.input('vectors', 'f32', random.wide(2 * 64, -149, 60));
        const out = arena.output('out', 'f32', 16);
        const scratch = arena.scratch(4 * 64);
        return (kernels) => kernels.f16Gemm(matrix, 0, 8, 64, 64, vectors, 64, 2, out, 8, lanes, scratch);
      }),
    );
  }
  return cases;
}

function attentionCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 5);
  const cases: ConformanceCase[] = [
    conformanceCase('storeKeysValues, overflow and subnormals too', (arena) => {
      const [count, kvHeads, headDim, cells] = [3, 2, 16, 32];
      const keys = arena.input('keys', 'f32', random.wide(count * kvHeads * headDim, -30, 20));
      const values = arena.input('values', 'f32', random.wide(count * kvHeads * headDim, -30, 20));
      const keyCache = arena.output('keyCache', 'f16', kvHeads * cells * headDim);
      const valueCache = arena.output('valueCache', 'f16', kvHeads * cells * headDim);
      return (kernels) =>
        kernels.storeKeysValues(keys, values, count, kvHeads, headDim, 5, cells, keyCache, valueCache);
    }),
  ];
  const shapes = [
    { heads: 4, kvHeads: 2, headDim: 64, position: 0, count: 1 },
    { heads: 4, kvHeads: 4, headDim: 64, position: 0, count: 5 },
    { heads: 5, kvHeads: 1, headDim: 128, position: 40, count: 1 },
    { heads: 2, kvHeads: 1, headDim: 96, position: 61, count: 4 },
    { heads: 1, kvHeads: 1, headDim: 32, position: 3, count: 1 },
    { heads: 1, kvHeads: 1, headDim: 32, position: 3, count: 2 },
  ];
  for (const lanes of LANES) {
    for (const { heads, kvHeads, headDim, position, count } of shapes) {
      for (const [gain, name] of [
        [1, ''],
        [30, ', peaked'],
      ] as const) {
        for (const withTaps of [true, false]) {
          const title = `attention ${heads} heads of ${headDim} over ${kvHeads}, ${count} row(s) at ${position}, ${lanes} lanes${name}${withTaps ? ', taps' : ''}`;
          cases.push(
            conformanceCase(title, (arena) => {
              const cacheCells = 96;
              const cells = Math.ceil((position + count) / 32) * 32;
              const q = arena.input('q', 'f32', random.normal(count * heads * headDim, gain));
              // Unused cells are zero, as in a session.
              const used = (cell: number, bits: number): number => (cell < position + count ? bits : 0);
              const cacheLength = kvHeads * cacheCells * headDim;
              const keys = random
                .smallF16(cacheLength)
                .map((bits, i) => used(Math.floor(i / headDim) % cacheCells, bits));
              const values = random.smallF16(cacheLength).map((bits, i) => used(i % cacheCells, bits));
              const keyCache = arena.input('keyCache', 'f16', keys);
              const valueCache = arena.input('valueCache', 'f16', values);
              const out = arena.output('out', 'f32', count * heads * headDim);
              const scores = withTaps ? arena.output('scores', 'f32', heads * count * cells) : 0;
              const probabilities = withTaps ? arena.output('probabilities', 'f32', heads * count * cells) : 0;
              const scratch = arena.scratch(attentionScratchBytes(heads, kvHeads, headDim, cells));
              const scale = Math.fround(1 / Math.fround(Math.sqrt(headDim)));
              return (kernels) => {
                for (const [begin, end] of [
                  [kvHeads >> 1, kvHeads],
                  [0, kvHeads >> 1],
                ] as const) {
                  kernels.attention(
                    q,
                    begin,
                    end,
                    heads,
                    kvHeads,
                    headDim,
                    count,
                    position,
                    keyCache,
                    valueCache,
                    cacheCells,
                    cells,
                    scale,
                    lanes,
                    out,
                    scores,
                    probabilities,
                    scratch,
                  );
                }
              };
            }),
          );
        }
      }
    }
  }
  return cases;
}

function elementwiseCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 6);
  const sweep = Float32Array.from({ length: 40_000 }, (_, i) => (i - 20_000) / 100); // -200 .. 200: beyond both ends
  const specials = [0, -0, Infinity, -Infinity, Number.NaN, -87.3, -87.4, -103.9, -104, 88.7, 88.8, 2 ** -149];
  const exponents = Float32Array.from([
    ...sweep,
    ...specials,
    ...random.normal(20_000, 8),
    ...random.wide(4000, -60, 8),
  ]);
  const cases: ConformanceCase[] = [
    conformanceCase('add, in place', (arena) => {
      const a = arena.input('a', 'f32', random.wide(4096));
      const b = arena.input('b', 'f32', random.wide(4096));
      return (kernels) => kernels.add(a, b, 4096, a);
    }),
    conformanceCase('multiplyAdd, sums half-way between two f32', (arena) => {
      // a * b has up to 48 bits; c is chosen so that the exact sum lies on, or one bit beside, a rounding boundary.
      const count = 20_000;
      const a = random.wide(count, -3, 3);
      const b = random.wide(count, -3, 3);
      const c = new Float32Array(count);
      for (let i = 0; i < count; i++) {
        const target = random.wide(1, -2, 4)[0]!;
        const halfUlp = 2 ** (Math.floor(Math.log2(Math.abs(target))) - 24);
        c[i] = target;
        if (i % 2 === 0) {
          a[i] = halfUlp * (1 + 2 ** -23 * random.below(3));
          b[i] = 1 - 2 ** -24 * random.below(3);
        }
      }
      const pointers = [arena.input('a', 'f32', a), arena.input('b', 'f32', b), arena.input('c', 'f32', c)] as const;
      const out = arena.output('out', 'f32', count);
      return (kernels) => kernels.multiplyAdd(...pointers, count, out);
    }),
    conformanceCase('multiplyAdd of every magnitude, subnormal results too', (arena) => {
      const count = 40_000;
      const a = arena.input('a', 'f32', random.wide(count, -149, 20));
      const b = arena.input('b', 'f32', random.wide(count, -149, 20));
      const c = arena.input('c', 'f32', random.wide(count, -149, -100));
      const out = arena.output('out', 'f32', count);
      return (kernels) => kernels.multiplyAdd(a, b, c, count, out);
    }),
    conformanceCase('multiplyAdd, infinities, NaN and zeros', (arena) => {
      const values = [0, -0, 1, -1, Infinity, -Infinity, Number.NaN, 3e38];
      const triples = values.flatMap((a) => values.flatMap((b) => values.map((c) => [a, b, c] as const)));
      const column = (index: 0 | 1 | 2): number[] => triples.map((triple) => triple[index]);
      const pointers = [
        arena.input('a', 'f32', column(0)),
        arena.input('b', 'f32', column(1)),
        arena.input('c', 'f32', column(2)),
      ] as const;
      const out = arena.output('out', 'f32', triples.length);
      return (kernels) => kernels.multiplyAdd(...pointers, triples.length, out);
    }),
    conformanceCase('reluSquaredGate', (arena) => {
      const gate = arena.input('gate', 'f32', [...random.wide(4088, -70, 60), 0, -0, Number.NaN, 1, 2, 3, 4, -5]);
      const up = arena.input('up', 'f32', random.normal(4096));
      const [out, relu, squared] = [
        arena.output('out', 'f32', 4096),
        arena.output('relu', 'f32', 4096),
        arena.output('squared', 'f32', 4096),
      ];
      return (kernels) => kernels.reluSquaredGate(gate, up, 4096, out, relu, squared);
    }),
    conformanceCase('reluSquaredGate, in place', (arena) => {
      const gate = arena.input('gate', 'f32', random.normal(256));
      const up = arena.input('up', 'f32', random.normal(256));
      return (kernels) => kernels.reluSquaredGate(gate, up, 256, gate, 0, 0);
    }),
  ];
  for (const lanes of LANES) {
    cases.push(
      conformanceCase(`exponential, ${lanes} lanes`, (arena) => {
        const x = arena.input('x', 'f32', exponents);
        const out = arena.output('out', 'f32', exponents.length);
        return (kernels) => kernels.exponential(x, exponents.length, lanes, out);
      }),
      conformanceCase(`siluGate, ${lanes} lanes`, (arena) => {
        const gate = arena.input('gate', 'f32', [...random.normal(4000, 20), ...specials]);
        const up = arena.input('up', 'f32', random.normal(4012));
        const [out, silu] = [arena.output('out', 'f32', 4012), arena.output('silu', 'f32', 4012)];
        return (kernels) => kernels.siluGate(gate, up, 4012, lanes, out, silu);
      }),
    );
  }
  return cases;
}
