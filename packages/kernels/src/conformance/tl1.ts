import type { Tl1Tiling } from '../layouts.ts';
import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

export function tl1Cases(seed: number): ConformanceCase[] {
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
