import type { Tl1Tiling } from '@bittern/kernels';

/** The tiling of each shape `"MxK"`, M rows by K columns: `{ "1536x4096": [256, 128, 32] }`. */
export type Tl1Tilings = Readonly<Record<string, Tl1Tiling>>;

/**
 * How TL1 weights are run; results are the same.
 *
 * - `transcode`: repacked without loss into the layout of I2_S weights, and run by their kernels
 * - `lut`: by look-up tables, as the reference does
 */
export type Tl1Kernel = 'transcode' | 'lut';

export const TL1_KERNELS: readonly Tl1Kernel[] = ['transcode', 'lut'];

/** The key of a matrix's tiling. */
export function tl1ShapeOf(rows: number, columns: number): string {
  return `${rows}x${columns}`;
}

/** Why something cannot be the tiling of a matrix; undefined if it can. Whether it is, nobody can tell. */
export function tl1TilingFault(tiling: unknown, rows: number, columns: number): string | undefined {
  if (!isTriple(tiling)) return 'it must be [BM, BBK, bm], three whole numbers from 1';
  const [tileRows, tileColumns, innerRows] = tiling;
  // As the reference's utils/codegen_tl1.py has it, and as a tile is made of whole inner steps of bm by 256 / bm.
  if (innerRows !== 32 && innerRows !== 64) return 'bm must be 32 or 64';
  if (tileRows % innerRows !== 0) return 'BM must be a multiple of bm';
  if (tileColumns % (256 / innerRows) !== 0) return `BBK must be a multiple of 256 / bm, ${256 / innerRows}`;
  if (rows % tileRows !== 0) return `${rows} rows are no multiple of BM`;
  if (columns % tileColumns !== 0) return `${columns} columns are no multiple of BBK`;
  return undefined;
}

function isTriple(value: unknown): value is Tl1Tiling {
  return Array.isArray(value) && value.length === 3 && value.every((n) => Number.isSafeInteger(n) && n >= 1);
}
