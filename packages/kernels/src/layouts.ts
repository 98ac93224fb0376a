import { KernelError } from './errors.ts';

/**
 * How a GGUF file packs I2_S weights. The file does not say which: x86 builds of bitnet.cpp write and read 128x32,
 * ARM builds since 2025-11 write and read 64x16 (section 2).
 *
 * - `128x32`: 128 columns in 32 bytes; byte p holds columns p, 32+p, 64+p, 96+p, highest bits first
 * - `64x16`: 64 columns in 16 bytes; byte p holds columns p, 16+p, 32+p, 48+p, highest bits first
 */
export type I2sLayout = '128x32' | '64x16';

export const I2S_LAYOUTS: readonly I2sLayout[] = ['128x32', '64x16'];

/**
 * Repacks I2_S codes from a file's layout into the row-pair layout that the kernels read: rows 2r and 2r + 1
 * alternate every 16 bytes, so that one linear stream feeds two rows (measured: reading rows side by side from
 * separate places halves streaming speed, research/wasm-kernels).
 *
 * @param packed - rows * columns / 4 bytes of the file
 * @param rows - even; columns - a multiple of 128
 * @param out - rows * columns / 4 bytes
 * @param tensorName - for the message
 * @throws {KernelError} KERNELS_INVALID_CODES where a code is 3: no writer makes it, so the bytes are not I2_S codes
 */
export function packRowPairs(
  packed: Uint8Array,
  rows: number,
  columns: number,
  layout: I2sLayout,
  out: Uint8Array,
  tensorName: string,
): void {
  const rowBytes = columns / 4;
  if (rows % 2 !== 0 || columns % 128 !== 0)
    throw new RangeError(`I2_S needs an even number of rows and columns in 128s, not ${rows} x ${columns}`);
  if (packed.length !== rows * rowBytes || out.length !== packed.length) {
    throw new RangeError(
      `${rows} x ${columns} codes are ${rows * rowBytes} bytes, not ${packed.length} and ${out.length}`,
    );
  }
  const block = new Uint8Array(32);
  for (let row = 0; row < rows; row++) {
    const source = row * rowBytes;
    const target = (row & ~1) * rowBytes + (row & 1) * 16;
    for (let b = 0; b < rowBytes; b += 32) {
      if (layout === '128x32') block.set(packed.subarray(source + b, source + b + 32));
      else from64x16(packed, source + b, block);
      for (let p = 0; p < 32; p++) {
        const byte = block[p]!;
        if ((byte & (byte >> 1) & 0x55) !== 0) {
          throw new KernelError(
            'KERNELS_INVALID_CODES',
            `Tensor "${tensorName}" holds the code 3 in row ${row} (byte ${source + b + p}); I2_S has only 0, 1 and 2. The file is damaged or not I2_S.`,
          );
        }
        out[target + 2 * b + (p & 16) * 2 + (p & 15)] = byte;
      }
    }
  }
}

/** The code 0..2 of a column, read from a row pair (width / 2 bytes). `parity` 0 is the even row, 1 the odd one. */
export function rowPairCode(pair: Uint8Array, parity: number, column: number): number {
  const inBlock = column % 128;
  const byte = inBlock % 32; // of the row's 32 bytes of this block
  const address = Math.floor(column / 128) * 64 + (byte >> 4) * 32 + parity * 16 + (byte & 15);
  return (pair[address]! >> (6 - 2 * Math.floor(inBlock / 32))) & 3;
}

/** Two 64x16 groups (32 bytes at `at`) to one 128x32 block. */
function from64x16(packed: Uint8Array, at: number, block: Uint8Array): void {
  // Columns 16g .. 16g + 15 of the 128 are bits 7-6, 5-4, 3-2, 1-0 of group g / 4's bytes; in 128x32 they are half
  // g % 2 of the block, in the bits of g / 2.
  for (let p = 0; p < 16; p++) {
    const first = packed[at + p]!;
    const second = packed[at + 16 + p]!;
    block[p] = (first & 0xc0) | ((first << 2) & 0x30) | ((second >> 4) & 0x0c) | ((second >> 2) & 0x03);
    block[p + 16] = ((first << 2) & 0xc0) | ((first << 4) & 0x30) | ((second >> 2) & 0x0c) | (second & 0x03);
  }
}
