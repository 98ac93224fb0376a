import type { BlockDecoder } from './simple-blocks.ts';

/**
 * How a TL1 tensor is cut up, which depends on the machine's kernels and is not in the file. The names in bitnet.cpp's
 * kernel_config.ini are bm, bk and bmm.
 */
export interface Tl1Tiling {
  /** BM: rows of a tile; the tensor's rows are a multiple. */
  readonly tileRows: number;
  /** BBK: columns of a tile; the tensor's columns are a multiple. */
  readonly tileColumns: number;
  /** bm: rows of an inner step, 32 or 64. */
  readonly innerRows: number;
}

/** @throws RangeError for a tiling that does not divide the tensor */
export function requireTl1Tiling(tiling: Tl1Tiling, rows: number, columns: number): void {
  const { tileRows, tileColumns, innerRows } = tiling;
  const stepColumns = 256 / innerRows;
  const divides = (part: number, whole: number): boolean => Number.isInteger(part) && part > 0 && whole % part === 0;
  const valid =
    (innerRows === 32 || innerRows === 64) &&
    divides(tileRows, rows) &&
    divides(tileColumns, columns) &&
    divides(innerRows, tileRows) &&
    divides(stepColumns, tileColumns);
  if (!valid) {
    throw new RangeError(
      `The TL1 tiling ${tileRows},${tileColumns},${innerRows} (rows, columns, inner rows) does not divide ` +
        `a tensor of ${rows} x ${columns}. Give the bm, bk and bmm of the kernel_config.ini that it was made with.`,
    );
  }
}

/**
 * Decodes one band of `tileRows` rows. Two columns (2j, 2j + 1) of a row are one nibble, 3 * a + b + 4.
 * Source: the closed form of microsoft/BitNet utils/codegen_tl1.py and its converter at 01eb415.
 */
export function tl1Decoder(tiling: Tl1Tiling, columns: number, scale: number): BlockDecoder {
  const { tileRows, tileColumns, innerRows } = tiling;
  const stepColumns = 256 / innerRows; // 8 or 4
  return (bytes, at, out, to) => {
    for (let row = 0; row < tileRows; row++) {
      const inner = Math.floor(row / innerRows);
      const sixteen = Math.floor((row % innerRows) / 16);
      for (let pair = 0; pair < columns / 2; pair++) {
        const column = (2 * pair) % tileColumns;
        const withinStep = (column % stepColumns) / 2;
        let address = Math.floor((2 * pair) / tileColumns);
        address = address * (tileRows / innerRows) + inner;
        address = address * (tileColumns / stepColumns) + Math.floor(column / stepColumns);
        address = address * (innerRows / 16) + sixteen;
        address = address * (stepColumns / 4) + (withinStep >> 1);
        const byte = bytes[at + address * 16 + (row % 16)]!;
        const code = withinStep % 2 === 0 ? byte >> 4 : byte & 0xf;
        out[to + row * columns + 2 * pair] = scale * (Math.floor(code / 3) - 1);
        out[to + row * columns + 2 * pair + 1] = scale * ((code % 3) - 1);
      }
    }
  };
}
