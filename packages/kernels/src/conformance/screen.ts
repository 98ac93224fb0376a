import { f16Bits, f16Value } from '../reference/float.ts';
import { screenFineRowBytes, screenRowBytes, screenValuesBytes } from '../contract-screen.ts';
import type { Kernels, Pointer } from '../contract.ts';
import { type Arena, type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

function packed(arena: Arena, matrix: Pointer, rowBegin: number, rowEnd: number, width: number, rowStride: number) {
  const codes = arena.output('codes', 'u8', rowEnd * screenRowBytes(width));
  const fineCodes = arena.output('fine codes', 'u8', rowEnd * screenFineRowBytes(width));
  const scales = arena.output('scales', 'f32', rowEnd);
  const errors = arena.output('errors', 'f32', rowEnd);
  const fineErrors = arena.output('fine errors', 'f32', rowEnd);
  const scratch = arena.scratch(128);
  return (kernels: Kernels): void =>
    kernels.packScreen(
      matrix,
      rowBegin,
      rowEnd,
      width,
      rowStride,
      codes,
      fineCodes,
      scales,
      errors,
      fineErrors,
      scratch,
    );
}

export function screenCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 8);
  const matrices: Readonly<Record<string, (length: number) => number[]>> = {
    'small weights': (length) => random.smallF16(length),
    'weights of every magnitude': (length) => random.f16(length),
    'subnormal weights': (length) => random.f16(length).map((bits) => bits & 0x83ff),
    zeros: (length) => Array.from({ length }, (_, i) => (i & 1) << 15),
    'equal weights': (length) => Array.from({ length }, () => 0x3c01),
  };
  const cases: ConformanceCase[] = [];
  for (const [name, weights] of Object.entries(matrices)) {
    for (const width of [16, 48, 144, 2560]) {
      cases.push(
        conformanceCase(`packScreen ${width} columns, ${name}`, (arena) => {
          const matrix = arena.input('matrix', 'f16', weights(6 * (width + 8)));
          return packed(arena, matrix, 1, 6, width, width + 8);
        }),
      );
    }
  }
  cases.push(
    conformanceCase('packScreen, rows that are not finite', (arena) => {
      const bits = random.smallF16(4 * 32);
      bits[5] = 0x7c00;
      bits[40] = 0xfc00;
      bits[95] = 0x7e00;
      const matrix = arena.input('matrix', 'f16', bits);
      return packed(arena, matrix, 0, 4, 32, 32);
    }),
  );

  const vectors: Readonly<Record<string, (width: number) => number[]>> = {
    normal: (width) => Array.from(random.normal(width, 2), (value) => f16Value(f16Bits(value))),
    'of every magnitude': (width) => random.f16(width).map(f16Value),
    'of zeros': (width) => Array.from({ length: width }, () => 0),
    'of the largest': (width) => Array.from({ length: width }, (_, i) => (i % 3 ? 65_504 : -65_504)),
  };
  for (const [name, vectorOf] of Object.entries(vectors)) {
    for (const width of [16, 2560, 65_536]) {
      cases.push(
        conformanceCase(`quantizeForScreen ${width} columns, ${name}`, (arena) => {
          const vector = arena.input('vector', 'f32', vectorOf(width));
          const values = arena.output('values', 'i8', screenValuesBytes(width));
          const bounds = arena.output('bounds', 'i32', 8); // f64, compared by its bits
          return (kernels) => kernels.quantizeForScreen(vector, width, values, bounds);
        }),
      );
    }
    cases.push(
      conformanceCase(`screenRows, vector ${name}`, (arena) => {
        const width = 336;
        const vector = arena.input('vector', 'f32', vectorOf(width));
        const values = arena.output('values', 'i8', screenValuesBytes(width));
        const bounds = arena.output('bounds', 'i32', 8);
        const codes = arena.input('codes', 'i8', random.int8(12 * screenRowBytes(width)));
        const scales = arena.input('scales', 'f32', random.wide(12, -31, 9));
        const errors = arena.input('errors', 'f32', random.normal(12).map(Math.abs));
        const lower = arena.output('lower', 'f32', 12);
        const upper = arena.output('upper', 'f32', 12);
        const scratch = arena.scratch(256);
        return (kernels) => {
          kernels.quantizeForScreen(vector, width, values, bounds);
          kernels.screenRows(codes, 4, 11, width, scales, errors, values, bounds, lower, upper, scratch);
        };
      }),
    );
    for (const [width, rows, k] of [
      [16, 5, 1],
      [336, 61, 3],
      [2560, 40, 40],
    ] as const) {
      cases.push(
        conformanceCase(`refineRows ${width} columns, ${rows} rows, vector ${name}`, (arena) => {
          const vector = arena.input('vector', 'f32', vectorOf(width));
          const values = arena.output('values', 'i8', screenValuesBytes(width));
          const bounds = arena.output('bounds', 'i32', 8);
          const fineCodes = arena.input('fine codes', 'i8', random.int8(rows * screenFineRowBytes(width)));
          const scales = arena.input('scales', 'f32', random.wide(rows, -31, 9));
          const fineErrors = arena.input('fine errors', 'f32', random.normal(rows).map(Math.abs));
          const middle = random.normal(rows, 4);
          const lower = arena.input('lower', 'f32', [...middle.subarray(1), Number.NaN]);
          const upper = arena.input('upper', 'f32', [...middle.subarray(1).map((value) => value + 1), Infinity]);
          const products = arena.input('products', 'f32', random.normal(k, 4));
          const scratch = arena.scratch(64);
          return (kernels) => {
            kernels.quantizeForScreen(vector, width, values, bounds);
            kernels.refineRows(
              fineCodes,
              rows,
              width,
              scales,
              fineErrors,
              values,
              bounds,
              products,
              k,
              lower,
              upper,
              0,
              1,
              scratch,
            );
          };
        }),
      );
    }
  }
  // The largest sums of a lane: the largest and the least code with the largest and the least bytes.
  for (const width of [16, 2560, 65_536]) {
    for (const code of [63, 0]) {
      for (const [bytes, value] of [
        ['127 and 127', 32_639],
        ['0 and -128', -128],
      ] as const) {
        cases.push(
          conformanceCase(
            `screenRows and refineRows ${width} columns, codes of ${code}, bytes of ${bytes}`,
            (arena) => {
              const vector = arena.input('vector', 'f32', new Float32Array(width).fill(value).fill(32_639, 0, 1));
              const values = arena.output('values', 'i8', screenValuesBytes(width));
              const bounds = arena.output('bounds', 'i32', 8);
              const fill = code === 0 ? 0 : 0xff;
              const codes = arena.input('codes', 'u8', new Uint8Array(4 * screenRowBytes(width)).fill(fill));
              const fineCodes = arena.input(
                'fine codes',
                'u8',
                new Uint8Array(4 * screenFineRowBytes(width)).fill(fill),
              );
              const scales = arena.input('scales', 'f32', [1, 2, 0, Math.fround(0.1)]);
              const errors = arena.input('errors', 'f32', [0, 1, Infinity, Math.fround(0.1)]);
              const lower = arena.output('lower', 'f32', 4);
              const upper = arena.output('upper', 'f32', 4);
              const products = arena.input('products', 'f32', [-Infinity]);
              const scratch = arena.scratch(256);
              return (kernels) => {
                kernels.quantizeForScreen(vector, width, values, bounds);
                kernels.screenRows(codes, 0, 4, width, scales, errors, values, bounds, lower, upper, scratch);
                const refined = [scales, errors, values, bounds, products, 1, lower, upper, 0, 1, scratch] as const;
                kernels.refineRows(fineCodes, 4, width, ...refined);
              };
            },
          ),
        );
      }
    }
  }

  const bounds: Readonly<Record<string, (rows: number) => [lower: number[], upper: number[]]>> = {
    random: (rows) => {
      const middle = random.normal(rows, 4);
      return [Array.from(middle, (value) => value - 0.5), Array.from(middle, (value) => value + 0.5)];
    },
    equal: (rows) => [Array.from({ length: rows }, () => 1), Array.from({ length: rows }, () => 1)],
    'of which the lower are NaN': (rows) => {
      const lower = Array.from({ length: rows }, (_, row) => (row % 8 === 0 ? -1 : Number.NaN));
      return [lower, Array.from(random.normal(rows, 4))];
    },
    'not finite': (rows) => {
      const special = [Number.NaN, -Infinity, Infinity, 0];
      const draw = (): number => special[random.below(4)]!;
      return [Array.from({ length: rows }, draw), Array.from({ length: rows }, draw)];
    },
  };
  for (const [name, boundsOf] of Object.entries(bounds)) {
    for (const [rows, k, capacity] of [
      [1, 1, 1],
      [7, 3, 7],
      [200, 1, 50],
      [203, 40, 60],
      [64, 64, 64],
    ] as const) {
      cases.push(
        conformanceCase(`candidates for ${k} of ${rows}, bounds ${name}`, (arena) => {
          const [lows, highs] = boundsOf(rows);
          const lower = arena.input('lower', 'f32', lows);
          const upper = arena.input('upper', 'f32', highs);
          const heap = arena.scratch(4 * k);
          const candidates = arena.scratch(4 * (1 + capacity));
          // What was chosen shows in what is computed for it.
          const matrix = arena.input('matrix', 'f16', random.smallF16(rows * 32));
          const vector = arena.input('vector', 'f32', random.smallF16(32).map(f16Value));
          const products = arena.input('products', 'f32', boundsOf(k)[1]);
          const first = arena.output('first', 'f32', k);
          const out = arena.output('out', 'f32', rows);
          const scratch = arena.scratch(4 * 32 + 128);
          return (kernels) => {
            kernels.selectLargest(lower, rows, k, heap, candidates);
            kernels.rescoreCandidates(matrix, 32, 32, vector, candidates, first, 8, 0, 1, scratch);
            kernels.selectCandidates(upper, rows, products, k, capacity, candidates);
            kernels.rescoreCandidates(matrix, 32, 32, vector, candidates, out, 8, 0, 1, scratch);
            kernels.f16GemvUnscreened(matrix, rows, 32, 32, vector, candidates, out, 8, 0, 1, scratch);
          };
        }),
      );
    }
  }
  return cases;
}
