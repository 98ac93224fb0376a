import type { Tl1Tiling } from '@bittern/kernels';
import { EngineError } from './errors.ts';

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

/**
 * The tiling of a matrix, checked.
 *
 * @returns undefined if there is none for this shape
 * @throws {EngineError} ENGINE_TL1_TILING if it is no tiling, or does not fit the shape
 */
export function tl1TilingOf(tilings: Tl1Tilings, rows: number, columns: number): Tl1Tiling | undefined {
  const key = `${rows}x${columns}`;
  if (!Object.hasOwn(tilings, key)) return undefined;
  const tiling: unknown = tilings[key];
  const refuse = (reason: string): EngineError =>
    new EngineError('ENGINE_TL1_TILING', `The TL1 tiling of "${key}" is ${JSON.stringify(tiling)}: ${reason}.`);
  if (!isTriple(tiling)) throw refuse('it must be [BM, BBK, bm], three whole numbers from 1');
  const [tileRows, tileColumns, innerRows] = tiling;
  // As the reference's utils/codegen_tl1.py has it, and as a tile is made of whole inner steps of bm by 256 / bm.
  if (innerRows !== 32 && innerRows !== 64) throw refuse('bm must be 32 or 64');
  if (tileRows % innerRows !== 0) throw refuse('BM must be a multiple of bm');
  if (tileColumns % (256 / innerRows) !== 0) throw refuse(`BBK must be a multiple of 256 / bm, ${256 / innerRows}`);
  if (rows % tileRows !== 0) throw refuse(`${rows} rows are no multiple of BM`);
  if (columns % tileColumns !== 0) throw refuse(`${columns} columns are no multiple of BBK`);
  return tiling;
}

/** What is said when matrices have no tiling: it cannot be guessed, and a wrong one gives wrong weights unnoticed. */
export function missingTilings(shapes: ReadonlySet<string>): EngineError {
  const entries = Array.from(shapes, (shape) => `"${shape}": [BM, BBK, bm]`).join(', ');
  return new EngineError(
    'ENGINE_TL1_TILING',
    `The file has TL1 weights, whose layout depends on the include/kernel_config.ini with which it was converted and is not in the file. Missing tilings: { ${entries} }, the numbers bm, bk and bmm of that ini.`,
  );
}

function isTriple(value: unknown): value is Tl1Tiling {
  return Array.isArray(value) && value.length === 3 && value.every((n) => Number.isSafeInteger(n) && n >= 1);
}
