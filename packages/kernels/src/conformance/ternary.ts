import { i2sScratchBytes } from '../contract.ts';
import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

export function ternaryCases(seed: number): ConformanceCase[] {
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
      const scratch = arena.scratch(i2sScratchBytes(width));
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
  // Widths whose sums are added in parts, and more tokens than such sums are kept of
  for (const [rows, width, count] of [
    [12, 4224, 131],
    [12, 6912, 4],
    [16, 8192, 3],
    [12, 65_536, 2],
  ] as const) {
    cases.push(
      ternaryCase('in parts', { rows, width, count }, random.codes((rows * width) / 4), random.int8(count * width)),
    );
  }
  for (const count of [1, 4, 5]) {
    // More rows than are summed at a time, and numbers of rows that leave none, 4 or 8 over from tiles of six
    for (const { rows, begin, end } of [
      { rows: 24, begin: 8, end: 16 },
      { rows: 140, begin: 4, end: 138 },
      { rows: 700, begin: 0, end: 700 }, // some are left to whichever thread is free
      { rows: 28, begin: 4, end: 28 },
      { rows: 20, begin: 0, end: 20 },
    ]) {
      const shape = { rows, width: 256, count, begin, end: count === 1 ? end : end & ~3 };
      cases.push(ternaryCase('a range of rows', shape, random.codes(rows * 64), random.int8(count * 256)));
    }
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
