import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../src/conformance/random.ts';
import type { Lanes } from '../src/contract.ts';
import { screenFineRowBytes, screenRowBytes, screenValuesBytes } from '../src/contract-screen.ts';
import { loadKernels, type WasmKernels } from '../src/load.ts';
import { f16Bits, f16Value } from '../src/reference/float.ts';
import { VARIANTS } from './variants.ts';

// What the screened head gives must be what the exact kernel gives: each bound holds, and the candidates hold the k
// largest products with every bit, whatever the matrix and the vector.

interface Head {
  readonly name: string;
  readonly rows: number;
  readonly width: number;
  readonly weights: readonly number[]; // bits of f16
  readonly vector: readonly number[];
}

const LANES: readonly Lanes[] = [8, 16];

/** The head's products, exactly and screened. `candidates` is undefined where all rows were computed. */
function run(kernels: WasmKernels, { rows, width, weights, vector }: Head, k: number, capacity: number, lanes: Lanes) {
  const { memory } = kernels;
  const padded = Math.ceil(rows / 4) * 4;
  const sizes = {
    matrix: 2 * rows * width,
    vector: 4 * width,
    codes: padded * screenRowBytes(width),
    fineCodes: padded * screenFineRowBytes(width),
    scales: 4 * padded,
    errors: 4 * padded,
    fineErrors: 4 * padded,
    values: screenValuesBytes(width),
    bounds: 32,
    lower: 4 * padded,
    upper: 4 * padded,
    heap: 4 * k,
    candidates: 4 * (1 + capacity),
    first: 4 * k,
    out: 4 * rows,
    exact: 4 * rows,
  };
  const at = Object.fromEntries(
    Object.entries(sizes).map(([name, bytes]) => [name, memory.allocate(bytes)]),
  ) as typeof sizes;
  try {
    memory.u16(at.matrix, rows * width).set(weights);
    memory.f32(at.vector, width).set(vector);
    kernels.reserveScratch(4 * width + 256);
    const { scratch } = kernels;
    kernels.f16Gemv(at.matrix, 0, rows, width, width, at.vector, at.exact, lanes, scratch);
    const packed = [at.codes, at.fineCodes, at.scales, at.errors, at.fineErrors] as const;
    kernels.packScreen(at.matrix, 0, rows, width, width, ...packed, scratch);
    kernels.quantizeForScreen(at.vector, width, at.values, at.bounds);
    kernels.screenRows(
      at.codes,
      0,
      rows,
      width,
      at.scales,
      at.errors,
      at.values,
      at.bounds,
      at.lower,
      at.upper,
      scratch,
    );
    kernels.selectLargest(at.lower, rows, k, at.heap, at.candidates);
    kernels.rescoreCandidates(at.matrix, width, width, at.vector, at.candidates, at.first, lanes, 0, 1, scratch);
    kernels.flush();
    const coarse = { lower: memory.f32(at.lower, rows).slice(), upper: memory.f32(at.upper, rows).slice() };
    const refined = [at.scales, at.fineErrors, at.values, at.bounds, at.first, k, at.lower, at.upper] as const;
    kernels.refineRows(at.fineCodes, rows, width, ...refined, 0, 1, scratch);
    kernels.selectCandidates(at.upper, rows, at.first, k, capacity, at.candidates);
    kernels.rescoreCandidates(at.matrix, width, width, at.vector, at.candidates, at.out, lanes, 0, 1, scratch);
    kernels.f16GemvUnscreened(at.matrix, rows, width, width, at.vector, at.candidates, at.out, lanes, 0, 1, scratch);
    kernels.flush();
    const count = memory.i32(at.candidates, 1)[0]!;
    const candidates = count < 0 ? undefined : [...memory.i32(at.candidates + 4, count)];
    return {
      exact: memory.f32(at.exact, rows).slice(),
      coarse,
      fine: { lower: memory.f32(at.lower, rows).slice(), upper: memory.f32(at.upper, rows).slice() },
      candidates,
      logits: memory.f32(at.out, candidates?.length ?? rows).slice(),
    };
  } finally {
    for (const pointer of Object.values(at)) memory.free(pointer);
  }
}

/** Rows and products of the k largest; equal ones by row. Bits, so that -0 is not 0 and NaN is equal to NaN. */
function largest(rows: readonly number[], products: Float32Array, k: number): string[] {
  return rows
    .map((row, index) => [row, products[index]!] as const)
    .toSorted(([a, x], [b, y]) => y - x || a - b)
    .slice(0, k)
    .map(([row, product]) => `${row}: ${Object.is(product, -0) ? '-0' : product}`);
}

/** Compares; returns the number of candidates, or undefined where all rows were computed. */
function expectSame(kernels: WasmKernels, head: Head, k: number, lanes: Lanes, capacity = head.rows) {
  const { exact, coarse, fine, candidates, logits } = run(kernels, head, k, capacity, lanes);
  const all = Array.from({ length: head.rows }, (_, row) => row);
  // NaN is neither: nothing bounds it.
  for (const { lower, upper } of [coarse, fine]) {
    const outside = all.filter((row) => lower[row]! > exact[row]! || upper[row]! < exact[row]!);
    expect({ name: head.name, outside }).toEqual({ name: head.name, outside: [] });
  }
  expect(logits).toEqual(Float32Array.from(candidates ?? all, (row) => exact[row]!));
  if (exact.some(Number.isNaN)) return candidates?.length; // no order
  expect(largest(candidates ?? all, logits, k)).toEqual(largest(all, exact, k));
  return candidates?.length;
}

function f16Of(values: Iterable<number>): number[] {
  return Array.from(values, f16Bits);
}

function asF16(values: Iterable<number>): number[] {
  return Array.from(values, (value) => f16Value(f16Bits(value)));
}

/** Heads that strain the bounds, of a size that one test can hold. */
function adversarial(seed: number): Head[] {
  const random = new Random(seed);
  const rows = 61;
  const width = 96;
  const head = (name: string, weights: readonly number[], vector: readonly number[]): Head => ({
    name,
    rows,
    width,
    weights,
    vector,
  });
  const normal = (scale = 1): number[] => f16Of(random.normal(rows * width, scale));
  const vector = asF16(random.normal(width, 3));
  const row = f16Of(random.normal(width));
  const repeated = (change: (bits: number, r: number, column: number) => number): number[] =>
    Array.from({ length: rows * width }, (_, i) => change(row[i % width]!, Math.floor(i / width), i % width));
  const ones = Array.from({ length: width }, () => 1);
  return [
    head('normal', normal(), vector),
    head('every magnitude', random.f16(rows * width), asF16(random.f16(width).map(f16Value))),
    head('every magnitude, small vector', random.f16(rows * width), asF16(random.normal(width, 1e-7))),
    head(
      'subnormal weights',
      random.f16(rows * width).map((bits) => bits & 0x83ff),
      vector,
    ),
    head(
      'subnormal weights and vector',
      random.f16(rows * width).map((bits) => bits & 0x83ff),
      random.f16(width).map((bits) => f16Value(bits & 0x83ff)),
    ),
    head(
      'largest weights and vector',
      Array.from({ length: rows * width }, () => (random.below(2) << 15) | 0x7bff),
      Array.from({ length: width }, () => 65_504),
    ),
    head(
      'one large weight in each row',
      repeated((bits, r, column) => (column === r ? 0x7bff : bits)),
      vector,
    ),
    head('one large activation', normal(), [65_504, ...vector.slice(1)]),
    head(
      'all rows equal',
      repeated((bits) => bits),
      vector,
    ),
    head(
      'pairs of equal rows',
      repeated((bits, r) => bits ^ (((r >> 1) * 37) & 0x3ff)),
      vector,
    ),
    head(
      'rows that differ in one last bit',
      repeated((bits, r, column) => (column === r ? bits ^ 1 : bits)),
      vector,
    ),
    head(
      'rows that cancel',
      repeated((bits, r, column) => bits ^ (column & 1 ? 0x8000 : 0) ^ (r & 1)),
      ones,
    ),
    head(
      'rows of zeros',
      repeated((bits, r) => (r % 3 === 0 ? 0 : bits ^ (r % 3 === 1 ? 0x8000 : 0))),
      vector,
    ),
    head(
      'all zeros',
      repeated((_, r) => (r & 1) << 15),
      vector,
    ),
    head(
      'vector of zeros',
      normal(),
      Array.from({ length: width }, () => 0),
    ),
    head(
      'weights half-way between codes',
      Array.from({ length: rows * width }, (_, i) => f16Bits(i % width === 0 ? 127 : random.below(254) - 126.5)),
      ones,
    ),
    head(
      'errors of one sign, in line with the vector',
      Array.from({ length: rows * width }, (_, i) => f16Bits(i % width === 0 ? 127 : random.below(100) + 0.4375)),
      ones,
    ),
    head(
      'last bits of one value, in line with the vector',
      Array.from({ length: rows * width }, (_, i) => f16Bits(i % width === 0 ? 127 : 4 * random.below(31) + 3)),
      ones,
    ),
    head(
      // Weights are codes exactly; what is lost are all activations but the first, for which weights are 0.
      'activations below half a unit, in line with the weights',
      Array.from({ length: rows * width }, (_, i) => f16Bits(i % width === 0 ? 0 : 127 - random.below(2))),
      Array.from({ length: width }, (_, i) => (i === 0 ? 65_504 : 0.96875)),
    ),
    head(
      'weights of infinity',
      repeated((bits, r, column) => (r === 7 && column === 3 ? 0x7c00 : bits ^ r)),
      vector,
    ),
    head(
      'weights of NaN',
      repeated((bits, r, column) => (r === 60 && column === 95 ? 0xfe01 : bits ^ r)),
      vector,
    ),
    head('activation of infinity', normal(), [Infinity, ...vector.slice(1)]),
    head('activation of -infinity', normal(), [...vector.slice(1), -Infinity]),
    head('activation of NaN', normal(), [...vector.slice(1), Number.NaN]),
  ];
}

const TEAMS = VARIANTS.flatMap((variant) => [1, 2, 3].map((threads) => ({ variant, threads })));

describe.each(TEAMS)('the screened head, $variant, $threads thread(s)', async ({ variant, threads }) => {
  const kernels = await loadKernels({ variant, threads });
  afterAll(() => kernels.dispose());
  const seeds = threads === 1 ? [1, 2, 3, 4, 5] : [6];

  test.each(adversarial(0).map(({ name }, index) => ({ name, index })))('$name', ({ index }) => {
    for (const seed of seeds) {
      const head = adversarial(seed)[index]!;
      for (const lanes of LANES) {
        for (const k of [1, 2, 40, 61]) {
          expectSame(kernels, head, k, lanes);
          expectSame(kernels, head, k, lanes, k);
        }
      }
    }
  });

  test('sums that round and cancel, of weights and activations that do not', () => {
    // Codes are exact, steps but for 2^-25, and estimates 0. The exact kernel's sums are not.
    const [rows, width] = [8, 65_536];
    const half = width / 2;
    const random = new Random(5);
    const steps = Array.from({ length: half }, (_, i) => (i > 0 && random.below(8) === 0 ? 0 : 2047));
    const weights = Array.from({ length: rows }, () => {
      const first = Array.from({ length: half }, (_, i) => (i === 0 ? 127 : 120 + random.below(8)));
      return [...first, ...first.map((weight) => -weight)].map(f16Bits);
    }).flat();
    const head: Head = { name: 'rounding', rows, width, weights, vector: [...steps, ...steps] };
    for (const lanes of LANES) {
      expect(run(kernels, head, 3, rows, lanes).exact.some((product) => product !== 0)).toBe(true);
      expectSame(kernels, head, 3, lanes);
    }
  });

  test.each([16, 32, 48, 112, 1024, 2560])('random heads of width %i', (width) => {
    const random = new Random(width + threads);
    const heads = threads === 1 ? 12 : 2;
    for (let i = 0; i < heads; i++) {
      const rows = 1 + random.below(300);
      const head: Head = {
        name: `random ${i}`,
        rows,
        width,
        weights: f16Of(random.normal(rows * width, 2 ** -random.below(12))),
        vector: asF16(random.normal(width, 2 ** (4 - random.below(12)))),
      };
      for (const lanes of LANES) expectSame(kernels, head, 1 + random.below(rows), lanes);
    }
  });
});

describe('the candidates', async () => {
  const kernels = await loadKernels();
  const random = new Random(99);
  const head = (name: string, weights: readonly number[], vector: readonly number[]): Head => ({
    name,
    rows: 4000,
    width: 640,
    weights,
    vector,
  });

  test('are few for normal weights, and for a vector with large values', () => {
    const weights = f16Of(random.normal(4000 * 640));
    const vector = asF16(random.normal(640, 2));
    expect(expectSame(kernels, head('normal', weights, vector), 1, 16)).toBeLessThan(200);
    vector[17] = 300;
    expect(expectSame(kernels, head('large value', weights, vector), 40, 16)).toBeLessThan(1000);
  });

  test('six bits leave many, eight few, where rows have some large weights', () => {
    const draws = random.normal(1 << 16);
    const table = f16Of(Array.from(draws, (draw, i) => Math.sign(draw) * -Math.log((i + 0.5) / draws.length))); // Laplace
    const [rows, width] = [2000, 2560];
    const weights = Array.from({ length: rows * width }, () => table[random.below(table.length)]!);
    const laplace: Head = { name: 'Laplace', rows, width, weights, vector: asF16(random.normal(width)) };
    const { coarse, exact, candidates } = run(kernels, laplace, 1, rows, 16);
    const largestProduct = Math.max(...exact);
    expect(coarse.upper.filter((bound) => bound >= largestProduct).length).toBeGreaterThan(rows / 5);
    expect(candidates!.length).toBeLessThan(rows / 10);
    expectSame(kernels, laplace, 40, 16);
  });

  test('are all rows where no bound separates them: then the exact head runs', () => {
    const weights = Array.from({ length: 4000 * 640 }, () => 0x3c00);
    const equal = head('equal', weights, asF16(random.normal(640, 2)));
    expect(expectSame(kernels, equal, 1, 16, 1000)).toBeUndefined();
    expect(expectSame(kernels, equal, 1, 16, 4000)).toBe(4000);
  });
});
