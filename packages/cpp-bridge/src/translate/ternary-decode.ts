import type { Tl1Tiling } from '@bittern/gguf-parser';
import { BridgeError } from '../errors.ts';

/** Ternary weights by row: -1, 0 or 1 each. The real ones are these times `scale`. */
export interface TernaryWeights {
  readonly codes: Int8Array;
  readonly scale: number;
}

/**
 * Which packing I2_S weights have; the file does not say. `128x32` is that of all released files, `64x16` that of files
 * quantized by an ARM build since November 2025.
 */
export type I2sPacking = '128x32' | '64x16';

/** The scale follows the weights, in a trailer of this length whose other bytes mean nothing. */
const TRAILER_BYTES = 32;

/**
 * Unpacks I2_S: blocks of 128 (64) weights in 32 (16) bytes, of which byte p has the weights p, 32+p, 64+p and 96+p
 * (p, 16+p, 32+p, 48+p), first ones in the highest bits, as codes 0, 1, 2 for -1, 0, 1 (docs/numerics.md, section 2).
 *
 * @param bytes - count / 4 bytes and the trailer
 * @throws BridgeError BRIDGE_UNTRANSLATABLE for another length, and for the code 3, which has no meaning
 */
export function decodeI2s(name: string, bytes: Uint8Array, count: number, packing: I2sPacking): TernaryWeights {
  const lanes = packing === '128x32' ? 32 : 16;
  const scale = scaleOf(name, bytes, count);
  if (count % (4 * lanes) !== 0) throw untranslatable(name, `has ${count} weights, no multiple of ${4 * lanes}`);
  const codes = new Int8Array(count);
  for (let index = 0; index < count; index++) {
    const within = index % (4 * lanes);
    const byte = bytes[((index - within) / (4 * lanes)) * lanes + (within % lanes)]!;
    const code = (byte >> (6 - 2 * Math.floor(within / lanes))) & 3;
    if (code === 3) throw untranslatable(name, `has the code 3 at weight ${index}, which stands for nothing`);
    codes[index] = code - 1;
  }
  return { codes, scale };
}

/**
 * Unpacks TL1: the columns 2j and 2j+1 of a row are one nibble, 3·a + b + 4, at the place that docs/numerics.md,
 * section 4, has in closed form.
 *
 * @throws BridgeError BRIDGE_UNTRANSLATABLE for another length, a tiling that does not divide the matrix, and a nibble
 *   above 8
 */
export function decodeTl1(
  name: string,
  bytes: Uint8Array,
  rows: number,
  columns: number,
  { tileRows, tileColumns, innerRows }: Tl1Tiling,
): TernaryWeights {
  const scale = scaleOf(name, bytes, rows * columns);
  const step = 256 / innerRows;
  const divides = [rows % tileRows, columns % tileColumns, tileRows % innerRows, tileColumns % step, step % 4];
  if (!divides.every((rest) => rest === 0)) {
    throw untranslatable(
      name,
      `is ${rows} x ${columns}, which the TL1 tiling ${tileRows}, ${tileColumns}, ${innerRows} does not divide`,
    );
  }
  const codes = new Int8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const tile = Math.floor(row / tileRows);
    const inner = Math.floor((row % tileRows) / innerRows);
    const inInner = row % innerRows;
    for (let pair = 0; pair < columns / 2; pair++) {
      const tilePair = pair % (tileColumns / 2);
      const stepPair = tilePair % (step / 2);
      let place = tile * (columns / tileColumns) + Math.floor(pair / (tileColumns / 2));
      place = place * (tileRows / innerRows) + inner;
      place = place * (tileColumns / step) + Math.floor(tilePair / (step / 2));
      place = place * (innerRows / 16) + Math.floor(inInner / 16);
      place = place * (step / 4) + Math.floor(stepPair / 2);
      const byte = bytes[place * 16 + (inInner % 16)]!;
      const nibble = stepPair % 2 === 0 ? byte >> 4 : byte & 15;
      if (nibble > 8) throw untranslatable(name, `has the nibble ${nibble} in row ${row}, which stands for nothing`);
      const first = Math.floor(nibble / 3) - 1;
      codes[row * columns + 2 * pair] = first;
      codes[row * columns + 2 * pair + 1] = nibble - 4 - 3 * first;
    }
  }
  return { codes, scale };
}

function scaleOf(name: string, bytes: Uint8Array, count: number): number {
  if (bytes.length !== count / 4 + TRAILER_BYTES) {
    throw untranslatable(name, `has ${bytes.length} bytes for ${count} ternary weights`);
  }
  const scale = new DataView(bytes.buffer, bytes.byteOffset).getFloat32(count / 4, true);
  if (!Number.isFinite(scale)) throw untranslatable(name, `has the scale ${scale}`);
  return scale;
}

function untranslatable(name: string, what: string): BridgeError {
  return new BridgeError('BRIDGE_UNTRANSLATABLE', `Tensor ${JSON.stringify(name)} ${what}.`);
}
