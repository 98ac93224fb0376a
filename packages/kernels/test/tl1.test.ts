import { describe, expect, test } from 'vitest';
import { type Tl1Tiling } from '../src/layouts.ts';
import { KERNEL_VARIANTS, loadKernels } from '../src/load.ts';

// From weights to products, by both ways: that conformance holds each step to its reference does not show that the
// steps fit together, nor that the references read a file as the converter wrote it.

/** The reference's presets (numerics, section 4), and matrices of two or more of their tiles. */
const TILINGS: readonly (readonly [tiling: Tl1Tiling, rows: number, columns: number])[] = [
  [[256, 128, 32], 512, 512],
  [[128, 64, 64], 384, 256],
  [[160, 64, 32], 320, 384],
  [[320, 128, 64], 640, 256],
  [[320, 64, 32], 640, 128],
];

/** Weights -1, 0, 1 -> a file's bytes, in the order of the file: the converter's transposes as loops. */
function pack(weights: Int8Array, rows: number, columns: number, [tileRows, tileColumns, innerRows]: Tl1Tiling) {
  const bytes: number[] = [];
  const nibble = (row: number, column: number): number =>
    3 * (weights[row * columns + column]! + 1) + (weights[row * columns + column + 1]! + 1);
  const innerColumns = 256 / innerRows;
  for (let tileRow = 0; tileRow < rows; tileRow += tileRows) {
    for (let tileColumn = 0; tileColumn < columns; tileColumn += tileColumns) {
      for (let innerRow = tileRow; innerRow < tileRow + tileRows; innerRow += innerRows) {
        for (let inner = tileColumn; inner < tileColumn + tileColumns; inner += innerColumns) {
          for (let row = innerRow; row < innerRow + innerRows; row += 16) {
            for (let column = inner; column < inner + innerColumns; column += 4) {
              for (let lane = row; lane < row + 16; lane++) {
                bytes.push((nibble(lane, column) << 4) | nibble(lane, column + 2));
              }
            }
          }
        }
      }
    }
  }
  return Uint8Array.from(bytes);
}

describe.each(KERNEL_VARIANTS)('%s kernels', async (variant) => {
  const kernels = await loadKernels({ variant });
  const { memory } = kernels;

  test.each(TILINGS)('products of a matrix packed by %j, %i x %i', (tiling, rows, columns) => {
    const weights = Int8Array.from({ length: rows * columns }, (_, i) => (((i * 2654435761) >>> 7) % 3) - 1);
    const file = pack(weights, rows, columns, tiling);
    expect(file).toHaveLength((rows * columns) / 4);
    const packed = memory.allocate(file.length);
    const pairs = memory.allocate(file.length);
    const tiles = memory.allocate(file.length);
    memory.bytes(packed, file.length).set(file);
    expect(kernels.tl1ToRowPairs(packed, rows, columns, ...tiling, pairs)).toBe(-1);
    expect(kernels.tl1ToTiles(packed, rows, columns, ...tiling, tiles)).toBe(-1);

    const x = memory.allocate(4 * columns);
    const values = memory.allocate(columns);
    const scales = memory.allocate(4);
    const sums = memory.allocate(4);
    const out = memory.allocate(4 * rows);
    const scratch = memory.allocate(16 * columns);
    memory.f32(x, columns).set(Array.from({ length: columns }, (_, i) => Math.sin(3 * i)));
    kernels.quantizeRowsTl1(x, 0, 1, columns, values, scales, sums);
    const quantized = memory.i8(values, columns).slice();
    const scale = memory.f32(scales, 1)[0]!;
    const expected = Float32Array.from({ length: rows }, (_, row) => {
      const products = quantized.reduce((sum, value, column) => sum + value * weights[row * columns + column]!, 0);
      return Math.fround(products / scale) * Math.fround(0.03);
    });
    expect(new Set(expected).size).toBeGreaterThan(rows / 8);

    kernels.i2sGemv(pairs, 0, rows, columns, 0.03, values, scales, sums, out, scratch);
    expect(memory.f32(out, rows)).toEqual(expected);
    memory.f32(out, rows).fill(Number.NaN);
    kernels.tl1Gemv(tiles, 0, rows, columns, 0.03, values, scales, out, scratch);
    expect(memory.f32(out, rows)).toEqual(expected);
  });

  test('a row of zeros gives zeros', () => {
    const [pointer, rows, columns] = [memory.allocate(65_536), 32, 128];
    const [tiles, x, values, scales, sums, out, scratch] = Array.from({ length: 7 }, (_, i) => pointer + 4096 * i);
    memory.bytes(tiles!, 1024).fill(0x80); // weights 1, 1, -1, -1
    kernels.quantizeRowsTl1(x!, 0, 1, columns, values!, scales!, sums!);
    kernels.tl1Gemv(tiles!, 0, rows, columns, 0.03, values!, scales!, out!, scratch!);
    expect(memory.f32(scales!, 1)[0]).toBe(Infinity);
    expect(memory.f32(out!, rows)).toEqual(new Float32Array(rows));
    kernels.i2sGemv(tiles!, 0, rows, columns, 0.03, values!, scales!, sums!, out!, scratch!);
    expect(memory.f32(out!, rows)).toEqual(new Float32Array(rows));
  });
});
