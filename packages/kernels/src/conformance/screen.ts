import { f16Bits, f16Value } from '../reference/float.ts';
import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

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
    for (const width of [16, 48, 2560]) {
      cases.push(
        conformanceCase(`packScreen ${width} columns, ${name}`, (arena) => {
          const matrix = arena.input('matrix', 'f16', weights(6 * (width + 8)));
          const codes = arena.output('codes', 'i8', 6 * width);
          const scales = arena.output('scales', 'f32', 6);
          const errors = arena.output('errors', 'f32', 6);
          return (kernels) => kernels.packScreen(matrix, 1, 6, width, width + 8, codes, scales, errors);
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
      const codes = arena.output('codes', 'i8', 4 * 32);
      const scales = arena.output('scales', 'f32', 4);
      const errors = arena.output('errors', 'f32', 4);
      return (kernels) => kernels.packScreen(matrix, 0, 4, 32, 32, codes, scales, errors);
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
          const values = arena.output('values', 'f16', width); // int16
          const bounds = arena.output('bounds', 'i32', 6); // f64, compared by its bits
          return (kernels) => kernels.quantizeForScreen(vector, width, values, bounds);
        }),
      );
    }
    cases.push(
      conformanceCase(`screenRows, vector ${name}`, (arena) => {
        const width = 320;
        const vector = arena.input('vector', 'f32', vectorOf(width));
        const values = arena.output('values', 'f16', width);
        const bounds = arena.output('bounds', 'i32', 6);
        const codes = arena.input('codes', 'i8', random.int8(12 * width));
        const scales = arena.input('scales', 'f32', random.wide(12, -31, 9));
        const errors = arena.input('errors', 'f32', random.normal(12).map(Math.abs));
        const lower = arena.output('lower', 'f32', 12);
        const upper = arena.output('upper', 'f32', 12);
        const scratch = arena.scratch(128);
        return (kernels) => {
          kernels.quantizeForScreen(vector, width, values, bounds);
          kernels.screenRows(codes, 4, 11, width, scales, errors, values, bounds, lower, upper, scratch);
        };
      }),
    );
  }
  // The largest sums of a lane: every code with every extreme value.
  for (const width of [16, 2560, 65_536]) {
    for (const code of [127, -127]) {
      cases.push(
        conformanceCase(`screenRows ${width} columns, code ${code}`, (arena) => {
          const vector = arena.input('vector', 'f32', new Float32Array(width).fill(1));
          const values = arena.output('values', 'f16', width);
          const bounds = arena.output('bounds', 'i32', 6);
          const codes = arena.input('codes', 'i8', new Int8Array(4 * width).fill(code));
          const scales = arena.input('scales', 'f32', [1, 2, 0, Math.fround(0.1)]);
          const errors = arena.input('errors', 'f32', [0, 1, Infinity, Math.fround(0.1)]);
          const lower = arena.output('lower', 'f32', 4);
          const upper = arena.output('upper', 'f32', 4);
          const scratch = arena.scratch(128);
          return (kernels) => {
            kernels.quantizeForScreen(vector, width, values, bounds);
            kernels.screenRows(codes, 0, 4, width, scales, errors, values, bounds, lower, upper, scratch);
          };
        }),
      );
    }
  }

  const bounds: Readonly<Record<string, (rows: number) => [lower: number[], upper: number[]]>> = {
    random: (rows) => {
      const middle = random.normal(rows, 4);
      return [Array.from(middle, (value) => value - 0.5), Array.from(middle, (value) => value + 0.5)];
    },
    equal: (rows) => [Array.from({ length: rows }, () => 1), Array.from({ length: rows }, () => 1)],
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
          const padding = [9e9, 9e9, 9e9].slice(0, (4 - (rows % 4)) % 4); // must not count
          const lower = arena.input('lower', 'f32', [...lows, ...padding]);
          const upper = arena.input('upper', 'f32', [...highs, ...padding]);
          const heap = arena.scratch(4 * k);
          const candidates = arena.scratch(4 * (1 + capacity));
          // What was chosen shows in what is computed for it.
          const matrix = arena.input('matrix', 'f16', random.smallF16(rows * 32));
          const vector = arena.input('vector', 'f32', random.smallF16(32).map(f16Value));
          const out = arena.output('out', 'f32', rows);
          const scratch = arena.scratch(4 * 32 + 128);
          return (kernels) => {
            kernels.selectCandidates(lower, upper, rows, k, capacity, heap, candidates);
            kernels.rescoreCandidates(matrix, 32, 32, vector, candidates, out, 8, 0, 1, scratch);
            kernels.f16GemvUnscreened(matrix, rows, 32, 32, vector, candidates, out, 8, 0, 1, scratch);
          };
        }),
      );
    }
  }
  return cases;
}
