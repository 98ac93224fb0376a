/**
 * How a GGUF file packs I2_S weights. The file does not say which: x86 builds of bitnet.cpp write and read 128x32,
 * ARM builds since 2025-11 write and read 64x16 (numerics, section 2).
 *
 * - `128x32`: 128 columns in 32 bytes; byte p holds columns p, 32+p, 64+p, 96+p, highest bits first
 * - `64x16`: 64 columns in 16 bytes; byte p holds columns p, 16+p, 32+p, 48+p, highest bits first
 */
export type I2sLayout = '128x32' | '64x16';

export const I2S_LAYOUTS: readonly I2sLayout[] = ['128x32', '64x16'];

/**
 * How a GGUF file packs a TL1 matrix [rows, columns], which it does not say either (numerics, section 4): the numbers BM,
 * BBK and bm of the reference's include/kernel_config.ini, keys bm, bk and bmm, when the file was converted.
 *
 * rows is a multiple of BM, columns of BBK, BM of bm, BBK of 256 / bm; bm is 32 or 64.
 */
export type Tl1Tiling = readonly [tileRows: number, tileColumns: number, innerRows: number];
