// TL1 weights: see `tl1ToRowPairs`, `tl1ToTiles` and `tl1Gemv` in src/contract.ts.
//
// A file is a sequence of vectors of 16 bytes, each 16 rows by 4 columns: byte r is row r, its high nibble the first two
// columns and its low nibble the other two. A nibble is 3 * (t0 + 1) + (t1 + 1), 0..8, for the weights t0, t1 in -1..1.
// The tiling decides the order of the vectors; ours has them in tiles of 32 rows:
//
//   tile, 4 columns = 32 bytes: | rows 0..15: 16 bytes | rows 16..31: 16 bytes |, followed by the next 4 columns
//
// Range of tl1Gemv: values are -128..127, so a table's entries (t0 * a + t1 * b) are at most 256 in magnitude and the sum
// of a segment of 64 of them at most 16,384. It is summed in parts modulo 2^16, which therefore gives it exactly. The
// sum of `width` columns is at most 128 * width: i32 is exact for every width, f32 up to 131,072.
import { lookup } from './lanes';

/** Number of the vector with rows row..row+15 and the first columns; section 4's closed form, its terms in the row. */
// @ts-ignore: decorator
@inline
function vectorOfRow(row: i32, columns: i32, tileRows: i32, tileColumns: i32, innerRows: i32): i32 {
  const innerColumns = 256 / innerRows;
  return row / tileRows * (columns * tileRows >> 6) // 64 weights in a vector
    + row % tileRows / innerRows * (tileColumns / innerColumns << 2)
    + row % innerRows / 16 * (innerColumns >> 2);
}

/**
 * How many vectors further columns column..column+3 are: the closed form's terms in the column. Once for each vector, so
 * with one division; the other divisors are powers of two.
 */
// @ts-ignore: decorator
@inline
function vectorOfColumn(column: i32, tileRows: i32, tileColumns: i32, innerRows: i32): i32 {
  const tile = column / tileColumns;
  const inTile = column - tile * tileColumns;
  const shift = 8 - ctz(innerRows); // innerColumns is 256 / innerRows
  const inner = inTile >> shift;
  return tile * (tileRows * tileColumns >> 6) + (inner << 2) + (inTile - (inner << shift) >> 2);
}

/** 0xff for each byte with a nibble above 8. */
// @ts-ignore: decorator
@inline
function invalidNibbles(v: v128): v128 {
  return v128.or(i8x16.gt_u(v, i8x16.splat(<i8>0x8f)), i8x16.gt_u(v128.and(v, i8x16.splat(0x0f)), i8x16.splat(8)));
}

export function tl1ToTiles(
  packed: usize, rows: i32, columns: i32, tileRows: i32, tileColumns: i32, innerRows: i32, out: usize,
): i32 {
  for (let row = 0; row < rows; row += 16) {
    const from = packed + (<usize>vectorOfRow(row, columns, tileRows, tileColumns, innerRows) << 4);
    let target = out + ((<usize>(row & ~31) * columns) >> 2) + (row & 16);
    let invalid = i8x16.splat(0);
    for (let column = 0; column < columns; column += 4, target += 32) {
      const v = v128.load(from + (<usize>vectorOfColumn(column, tileRows, tileColumns, innerRows) << 4));
      invalid = v128.or(invalid, invalidNibbles(v));
      v128.store(target, v);
    }
    if (v128.any_true(invalid)) return row + ctz(i8x16.bitmask(invalid));
  }
  return -1;
}

export function tl1ToRowPairs(
  packed: usize, rows: i32, columns: i32, tileRows: i32, tileColumns: i32, innerRows: i32, out: usize,
): i32 {
  const pair = <usize>columns >> 1; // bytes of a row pair
  // I2_S codes t + 1 of a nibble's first and second weight
  const firstOf = i8x16(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0);
  const secondOf = i8x16(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0);
  const mask = i8x16.splat(0x0f);
  for (let row = 0; row < rows; row += 16) {
    const from = packed + (<usize>vectorOfRow(row, columns, tileRows, tileColumns, innerRows) << 4);
    let invalid = i8x16.splat(0);
    for (let column = 0; column < columns; column += 128) {
      let target = out + ((<usize>row * columns) >> 2) + (column >> 1);
      for (let c = column; c < column + 32; c += 4, target += 4) {
        // Columns c, c + 1, c + 2, c + 3 of 16 rows, and above them in each byte those 32, 64 and 96 columns before.
        let c0 = i8x16.splat(0), c1 = i8x16.splat(0), c2 = i8x16.splat(0), c3 = i8x16.splat(0);
        for (let quarter = c; quarter < c + 128; quarter += 32) {
          const v = v128.load(from + (<usize>vectorOfColumn(quarter, tileRows, tileColumns, innerRows) << 4));
          invalid = v128.or(invalid, invalidNibbles(v));
          const high = v128.and(i16x8.shr_u(v, 4), mask), low = v128.and(v, mask);
          // Codes are at most 2, so that no byte ever exceeds 170 and shifts do not reach the byte beside.
          c0 = v128.or(i16x8.shl(c0, 2), lookup(firstOf, high));
          c1 = v128.or(i16x8.shl(c1, 2), lookup(secondOf, high));
          c2 = v128.or(i16x8.shl(c2, 2), lookup(firstOf, low));
          c3 = v128.or(i16x8.shl(c3, 2), lookup(secondOf, low));
        }
        const left0 = i8x16.shuffle(c0, c1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const left8 = i8x16.shuffle(c0, c1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        const right0 = i8x16.shuffle(c2, c3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const right8 = i8x16.shuffle(c2, c3, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        storeRows(target, pair, i16x8.shuffle(left0, right0, 0, 8, 1, 9, 2, 10, 3, 11));
        storeRows(target + 2 * pair, pair, i16x8.shuffle(left0, right0, 4, 12, 5, 13, 6, 14, 7, 15));
        storeRows(target + 4 * pair, pair, i16x8.shuffle(left8, right8, 0, 8, 1, 9, 2, 10, 3, 11));
        storeRows(target + 6 * pair, pair, i16x8.shuffle(left8, right8, 4, 12, 5, 13, 6, 14, 7, 15));
      }
    }
    if (v128.any_true(invalid)) return row + ctz(i8x16.bitmask(invalid));
  }
  return -1;
}

/** Four bytes of each of four rows, to the two row pairs that begin at `target`. */
// @ts-ignore: decorator
@inline
function storeRows(target: usize, pair: usize, bytes: v128): void {
  v128.store32_lane(target, bytes, 0);
  v128.store32_lane(target, bytes, 1, 32);
  v128.store32_lane(target + pair, bytes, 2);
  v128.store32_lane(target + pair, bytes, 3, 32);
}

/**
 * The look-up table of each column pair (a, b): entry 3 * (t0 + 1) + (t1 + 1) is t0 * a + t1 * b, as 16 low bytes and then
 * 16 high bytes. Entries from 9 on are not 0, and not used: weights were checked when they were repacked.
 */
// @ts-ignore: decorator
@inline
function buildTables(values: usize, width: i32, tables: usize): void {
  const first = i16x8(-1, -1, -1, 0, 0, 0, 1, 1), second = i16x8(-1, 0, 1, -1, 0, 1, -1, 0);
  for (let v = values, end = values + <usize>width; v < end; v += 2, tables += 32) {
    const a = i16x8.splat(load<i8>(v)), b = i16x8.splat(load<i8>(v, 1));
    const entries = i16x8.add(i16x8.mul(a, first), i16x8.mul(b, second));
    const last = i16x8.add(a, b); // entry 8
    v128.store(tables, i8x16.shuffle(entries, last, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
    v128.store(tables, i8x16.shuffle(entries, last, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), 16);
  }
}

/** Results of rows 0, 2, 4, 6 and 1, 3, 5, 7, in order. */
// @ts-ignore: decorator
@inline
function storeScaled(target: usize, even: v128, odd: v128, activationScale: v128, weightScale: v128): void {
  const low = f32x4.convert_i32x4_s(i32x4.shuffle(even, odd, 0, 4, 1, 5));
  const high = f32x4.convert_i32x4_s(i32x4.shuffle(even, odd, 2, 6, 3, 7));
  v128.store(target, f32x4.mul(f32x4.div(low, activationScale), weightScale));
  v128.store(target, f32x4.mul(f32x4.div(high, activationScale), weightScale), 16);
}

export function tl1Gemv(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, out: usize, scratch: usize,
): void {
  if (rowBegin >= rowEnd) return; // a thread without a share needs no tables
  buildTables(values, width, scratch);
  const activationScale = f32x4.splat(load<f32>(scales));
  const mask = i8x16.splat(0x0f);
  const tablesEnd = scratch + (<usize>width << 4);
  let w = weights + ((<usize>rowBegin * width) >> 2);
  for (let row = rowBegin; row < rowEnd; row += 32) {
    // Sums of even (e) and odd (o) rows: e0 is rows 0, 2, 4, 6, e3 rows 24, 26, 28, 30.
    let e0 = i32x4.splat(0), e1 = i32x4.splat(0), e2 = i32x4.splat(0), e3 = i32x4.splat(0);
    let o0 = i32x4.splat(0), o1 = i32x4.splat(0), o2 = i32x4.splat(0), o3 = i32x4.splat(0);
    for (let t = scratch; t < tablesEnd; ) {
      // A segment: 64 pairs. An entry is 256 * high + low. Low bytes are summed as i16 lanes of low[even] + 256 *
      // low[odd], and those of odd rows by themselves once more; high bytes as i8. All modulo 2^16 or 2^8.
      let both = i16x8.splat(0), odd = i16x8.splat(0), high = i8x16.splat(0);
      let both16 = i16x8.splat(0), odd16 = i16x8.splat(0), high16 = i8x16.splat(0);
      for (const segmentEnd = t + 64 * 32; t < segmentEnd; t += 64, w += 32) {
        const v = v128.load(w), v16 = v128.load(w, 16);
        let index = v128.and(i16x8.shr_u(v, 4), mask);
        let index16 = v128.and(i16x8.shr_u(v16, 4), mask);
        let table = v128.load(t);
        let low = lookup(table, index);
        both = i16x8.add(both, low);
        odd = i16x8.add(odd, i16x8.shr_u(low, 8));
        low = lookup(table, index16);
        both16 = i16x8.add(both16, low);
        odd16 = i16x8.add(odd16, i16x8.shr_u(low, 8));
        table = v128.load(t, 16);
        high = i8x16.add(high, lookup(table, index));
        high16 = i8x16.add(high16, lookup(table, index16));
        index = v128.and(v, mask);
        index16 = v128.and(v16, mask);
        table = v128.load(t, 32);
        low = lookup(table, index);
        both = i16x8.add(both, low);
        odd = i16x8.add(odd, i16x8.shr_u(low, 8));
        low = lookup(table, index16);
        both16 = i16x8.add(both16, low);
        odd16 = i16x8.add(odd16, i16x8.shr_u(low, 8));
        table = v128.load(t, 48);
        high = i8x16.add(high, lookup(table, index));
        high16 = i8x16.add(high16, lookup(table, index16));
      }
      let even = i16x8.add(i16x8.sub(both, i16x8.shl(odd, 8)), i16x8.shl(high, 8));
      odd = i16x8.add(odd, v128.and(high, i16x8.splat(<i16>0xff00)));
      e0 = i32x4.add(e0, i32x4.extend_low_i16x8_s(even));
      e1 = i32x4.add(e1, i32x4.extend_high_i16x8_s(even));
      o0 = i32x4.add(o0, i32x4.extend_low_i16x8_s(odd));
      o1 = i32x4.add(o1, i32x4.extend_high_i16x8_s(odd));
      even = i16x8.add(i16x8.sub(both16, i16x8.shl(odd16, 8)), i16x8.shl(high16, 8));
      odd16 = i16x8.add(odd16, v128.and(high16, i16x8.splat(<i16>0xff00)));
      e2 = i32x4.add(e2, i32x4.extend_low_i16x8_s(even));
      e3 = i32x4.add(e3, i32x4.extend_high_i16x8_s(even));
      o2 = i32x4.add(o2, i32x4.extend_low_i16x8_s(odd16));
      o3 = i32x4.add(o3, i32x4.extend_high_i16x8_s(odd16));
    }
    const target = out + (<usize>row << 2);
    const scale = f32x4.splat(weightScale);
    storeScaled(target, e0, o0, activationScale, scale);
    storeScaled(target + 32, e1, o1, activationScale, scale);
    storeScaled(target + 64, e2, o2, activationScale, scale);
    storeScaled(target + 96, e3, o3, activationScale, scale);
  }
}
