// The products of i2s.ts with every operation on both 16-byte halves of a row's 32 bytes, side by side: V8's revectorizer
// (flag --experimental-wasm-revectorize) joins such pairs to 256-bit instructions. Upper case is the second half. It starts
// from adjacent stores, so sums pass through scratch. Without the flag these are slower: too many values are alive.
import { finish4, finishRows, i2sGemm, i2sGemv, I2S_LINES_AHEAD, rowsAtOnce } from './i2s';
import { dot16 } from './lanes';
import { touch, touchAhead } from './touch';

export function i2sGemvWide(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize, scratch: usize,
): void {
  if (width & 255) return i2sGemv(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, out, scratch);
  const activationScale = load<f32>(scales);
  const sum = load<i32>(sums);
  const valuesEnd = values + <usize>width;
  const low = i8x16.splat(0x03);
  const high = i8x16.splat(0x0c);
  const most = rowsAtOnce(width);
  let touched = 0;
  let w = weights + ((<usize>rowBegin * width) >> 2);
  for (let row = rowBegin; row < rowEnd; row += most) {
    const rows = min(most, rowEnd - row);
    const next = w + ((<usize>rows * width) >> 2), nextEnd = weights + ((<usize>min(row + 2 * most, rowEnd) * width) >> 2);
    touched |= touch(w, next);
    for (let r = 0, to = scratch; r < rows; r += 2, to += 64) {
      touched |= touchAhead(next, nextEnd, r >> 1, rows >> 1, I2S_LINES_AHEAD);
      // As in i2sGemv: codes in bits 0-1 count once (a, c), those in bits 2-3 four times (b, d).
      let a0 = i32x4.splat(0), A0 = i32x4.splat(0), a1 = i32x4.splat(0), A1 = i32x4.splat(0);
      let b0 = i32x4.splat(0), B0 = i32x4.splat(0), b1 = i32x4.splat(0), B1 = i32x4.splat(0);
      let c0 = i32x4.splat(0), C0 = i32x4.splat(0), c1 = i32x4.splat(0), C1 = i32x4.splat(0);
      let d0 = i32x4.splat(0), D0 = i32x4.splat(0), d1 = i32x4.splat(0), D1 = i32x4.splat(0);
      for (let v = values; v < valuesEnd; v += 256, w += 128) {
        let w0 = v128.load(w), W0 = v128.load(w, 16), w1 = v128.load(w, 32), W1 = v128.load(w, 48);
        let q = v128.load(v, 96), Q = v128.load(v, 112);
        a0 = dot16(q, v128.and(w0, low), a0);
        A0 = dot16(Q, v128.and(W0, low), A0);
        a1 = dot16(q, v128.and(w1, low), a1);
        A1 = dot16(Q, v128.and(W1, low), A1);
        q = v128.load(v, 64);
        Q = v128.load(v, 80);
        b0 = dot16(q, v128.and(w0, high), b0);
        B0 = dot16(Q, v128.and(W0, high), B0);
        b1 = dot16(q, v128.and(w1, high), b1);
        B1 = dot16(Q, v128.and(W1, high), B1);
        w0 = i16x8.shr_u(w0, 4);
        W0 = i16x8.shr_u(W0, 4);
        w1 = i16x8.shr_u(w1, 4);
        W1 = i16x8.shr_u(W1, 4);
        q = v128.load(v, 32);
        Q = v128.load(v, 48);
        a0 = dot16(q, v128.and(w0, low), a0);
        A0 = dot16(Q, v128.and(W0, low), A0);
        a1 = dot16(q, v128.and(w1, low), a1);
        A1 = dot16(Q, v128.and(W1, low), A1);
        q = v128.load(v);
        Q = v128.load(v, 16);
        b0 = dot16(q, v128.and(w0, high), b0);
        B0 = dot16(Q, v128.and(W0, high), B0);
        b1 = dot16(q, v128.and(w1, high), b1);
        B1 = dot16(Q, v128.and(W1, high), B1);
        w0 = v128.load(w, 64);
        W0 = v128.load(w, 80);
        w1 = v128.load(w, 96);
        W1 = v128.load(w, 112);
        q = v128.load(v, 224);
        Q = v128.load(v, 240);
        c0 = dot16(q, v128.and(w0, low), c0);
        C0 = dot16(Q, v128.and(W0, low), C0);
        c1 = dot16(q, v128.and(w1, low), c1);
        C1 = dot16(Q, v128.and(W1, low), C1);
        q = v128.load(v, 192);
        Q = v128.load(v, 208);
        d0 = dot16(q, v128.and(w0, high), d0);
        D0 = dot16(Q, v128.and(W0, high), D0);
        d1 = dot16(q, v128.and(w1, high), d1);
        D1 = dot16(Q, v128.and(W1, high), D1);
        w0 = i16x8.shr_u(w0, 4);
        W0 = i16x8.shr_u(W0, 4);
        w1 = i16x8.shr_u(w1, 4);
        W1 = i16x8.shr_u(W1, 4);
        q = v128.load(v, 160);
        Q = v128.load(v, 176);
        c0 = dot16(q, v128.and(w0, low), c0);
        C0 = dot16(Q, v128.and(W0, low), C0);
        c1 = dot16(q, v128.and(w1, low), c1);
        C1 = dot16(Q, v128.and(W1, low), C1);
        q = v128.load(v, 128);
        Q = v128.load(v, 144);
        d0 = dot16(q, v128.and(w0, high), d0);
        D0 = dot16(Q, v128.and(W0, high), D0);
        d1 = dot16(q, v128.and(w1, high), d1);
        D1 = dot16(Q, v128.and(W1, high), D1);
      }
      v128.store(to, i32x4.add(i32x4.add(a0, c0), i32x4.shr_s(i32x4.add(b0, d0), 2)));
      v128.store(to, i32x4.add(i32x4.add(A0, C0), i32x4.shr_s(i32x4.add(B0, D0), 2)), 16);
      v128.store(to, i32x4.add(i32x4.add(a1, c1), i32x4.shr_s(i32x4.add(b1, d1), 2)), 32);
      v128.store(to, i32x4.add(i32x4.add(A1, C1), i32x4.shr_s(i32x4.add(B1, D1), 2)), 48);
    }
    finishRows(scratch, rows, sum, activationScale, weightScale, out + (<usize>row << 2));
  }
  store<i32>(scratch, touched);
}

/** Codes of one row's 128-column block, 32 bytes at `from`, to 32 bytes at every 192nd from `to`. */
// @ts-ignore: decorator
@inline
function unpackBlock(from: usize, to: usize): void {
  const mask = i8x16.splat(3);
  const a = v128.load(from), A = v128.load(from, 16);
  v128.store(to, v128.and(i16x8.shr_u(a, 6), mask));
  v128.store(to, v128.and(i16x8.shr_u(A, 6), mask), 16);
  v128.store(to, v128.and(i16x8.shr_u(a, 4), mask), 192);
  v128.store(to, v128.and(i16x8.shr_u(A, 4), mask), 208);
  v128.store(to, v128.and(i16x8.shr_u(a, 2), mask), 384);
  v128.store(to, v128.and(i16x8.shr_u(A, 2), mask), 400);
  v128.store(to, v128.and(a, mask), 576);
  v128.store(to, v128.and(A, mask), 592);
}

/** Columns that six rows are unpacked of at a time: what stays in a first-level cache beside the values of two tokens. */
const COLUMNS: i32 = 4096;
/** Tokens whose sums over some of the columns are kept until the others are added: `i2sScratchBytes` has room for them. */
const TOKENS: i32 = 128;
/** Bytes of 12 sums of 8 i32: rows 0 to 3 of one token, of the other, then rows 4 and 5 of both. */
const SUMS_BYTES: usize = 384;

// Tiles of 6 rows and 2 tokens: their 12 sums, 2 values and a code are all that V8's 15 registers hold, and fewer sums
// would wait for each other (5 cycles an instruction, 2 instructions a cycle).
export function i2sGemmWide(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, count: i32, out: usize, outStride: i32, scratch: usize,
): void {
  const pair = <usize>width >> 1; // bytes of a row pair
  const parts = (width + COLUMNS - 1) / COLUMNS;
  const columns = ((width >> 7) + parts - 1) / parts << 7;
  const zeros = scratch + 6 * <usize>width;
  const partial = zeros + SUMS_BYTES;
  memory.fill(zeros, 0, SUMS_BYTES);
  const even = count & ~1;
  const tokens = parts == 1 ? even : TOKENS;
  const weightsEnd = weights + ((<usize>rowEnd * width) >> 2);
  const tile: usize = 3 * pair;
  const step: usize = (2 * tile / <usize>max(count, 1) + 63) & ~63; // of the next tile's bytes, with each two tokens
  let touched = 0;
  let row = rowBegin;
  for (; row + 6 <= rowEnd && row + 8 != rowEnd; row += 6) {
    const rowWeights = weights + ((<usize>row * width) >> 2);
    let next = rowWeights + tile;
    const nextEnd = min(next + tile, weightsEnd);
    for (let token = 0; token < even; token += tokens) {
      const tokenEnd = min(token + tokens, even);
      for (let column = 0; column < width; column += columns) {
        const columnEnd = min(column + columns, width);
        const codesEnd = scratch + 6 * <usize>(columnEnd - column);
        // Unpack six rows: 32 columns of row 0, of row 1, and so on.
        let packed = rowWeights + (<usize>column >> 1);
        for (let to = scratch; to < codesEnd; to += 768, packed += 64) {
          unpackBlock(packed, to);
          unpackBlock(packed + 32, to + 32);
          unpackBlock(packed + pair, to + 64);
          unpackBlock(packed + pair + 32, to + 96);
          unpackBlock(packed + 2 * pair, to + 128);
          unpackBlock(packed + 2 * pair + 32, to + 160);
        }
        let to = partial;
        for (let index = token; index < tokenEnd; index += 2) {
          if (column == 0) {
            touched |= touch(next, min(next + step, nextEnd));
            next += step;
          }
          const from = column == 0 ? zeros : to;
          let a0 = v128.load(from), A0 = v128.load(from, 16), a1 = v128.load(from, 32), A1 = v128.load(from, 48);
          let a2 = v128.load(from, 64), A2 = v128.load(from, 80), a3 = v128.load(from, 96), A3 = v128.load(from, 112);
          let b0 = v128.load(from, 128), B0 = v128.load(from, 144), b1 = v128.load(from, 160), B1 = v128.load(from, 176);
          let b2 = v128.load(from, 192), B2 = v128.load(from, 208), b3 = v128.load(from, 224), B3 = v128.load(from, 240);
          let a4 = v128.load(from, 256), A4 = v128.load(from, 272), a5 = v128.load(from, 288), A5 = v128.load(from, 304);
          let b4 = v128.load(from, 320), B4 = v128.load(from, 336), b5 = v128.load(from, 352), B5 = v128.load(from, 368);
          let p = values + <usize>index * width + <usize>column;
          let q = p + <usize>width;
          for (let codes = scratch; codes < codesEnd; p += 32, q += 32, codes += 192) {
            const s = v128.load(p), S = v128.load(p, 16), t = v128.load(q), T = v128.load(q, 16);
            let c = v128.load(codes), C = v128.load(codes, 16);
            a0 = dot16(s, c, a0);
            A0 = dot16(S, C, A0);
            b0 = dot16(t, c, b0);
            B0 = dot16(T, C, B0);
            c = v128.load(codes, 32);
            C = v128.load(codes, 48);
            a1 = dot16(s, c, a1);
            A1 = dot16(S, C, A1);
            b1 = dot16(t, c, b1);
            B1 = dot16(T, C, B1);
            c = v128.load(codes, 64);
            C = v128.load(codes, 80);
            a2 = dot16(s, c, a2);
            A2 = dot16(S, C, A2);
            b2 = dot16(t, c, b2);
            B2 = dot16(T, C, B2);
            c = v128.load(codes, 96);
            C = v128.load(codes, 112);
            a3 = dot16(s, c, a3);
            A3 = dot16(S, C, A3);
            b3 = dot16(t, c, b3);
            B3 = dot16(T, C, B3);
            c = v128.load(codes, 128);
            C = v128.load(codes, 144);
            a4 = dot16(s, c, a4);
            A4 = dot16(S, C, A4);
            b4 = dot16(t, c, b4);
            B4 = dot16(T, C, B4);
            c = v128.load(codes, 160);
            C = v128.load(codes, 176);
            a5 = dot16(s, c, a5);
            A5 = dot16(S, C, A5);
            b5 = dot16(t, c, b5);
            B5 = dot16(T, C, B5);
          }
          v128.store(to, a0);
          v128.store(to, A0, 16);
          v128.store(to, a1, 32);
          v128.store(to, A1, 48);
          v128.store(to, a2, 64);
          v128.store(to, A2, 80);
          v128.store(to, a3, 96);
          v128.store(to, A3, 112);
          v128.store(to, b0, 128);
          v128.store(to, B0, 144);
          v128.store(to, b1, 160);
          v128.store(to, B1, 176);
          v128.store(to, b2, 192);
          v128.store(to, B2, 208);
          v128.store(to, b3, 224);
          v128.store(to, B3, 240);
          v128.store(to, a4, 256);
          v128.store(to, A4, 272);
          v128.store(to, a5, 288);
          v128.store(to, A5, 304);
          v128.store(to, b4, 320);
          v128.store(to, B4, 336);
          v128.store(to, b5, 352);
          v128.store(to, B5, 368);
          if (columnEnd < width) {
            to += SUMS_BYTES;
            continue;
          }
          const at = <usize>index << 2;
          const target = out + ((<usize>index * outStride + row) << 2), other = target + (<usize>outStride << 2);
          v128.store(target, finish4(to, v128.load32_splat(sums + at), v128.load32_splat(scales + at), weightScale));
          v128.store(other, finish4(to + 128, v128.load32_splat(sums + at, 4), v128.load32_splat(scales + at, 4), weightScale));
          const bothSums = v128.load64_splat(sums + at), bothScales = v128.load64_splat(scales + at);
          const rest = finish4(
            to + 256, i32x4.shuffle(bothSums, bothSums, 0, 0, 1, 1), i32x4.shuffle(bothScales, bothScales, 0, 0, 1, 1), weightScale,
          );
          v128.store64_lane(target, rest, 0, 16);
          v128.store64_lane(other, rest, 1, 16);
          if (parts > 1) to += SUMS_BYTES;
        }
      }
    }
  }
  store<i32>(zeros, touched);
  if (even < count) {
    const at = <usize>even << 2;
    const target = out + ((<usize>even * outStride) << 2);
    i2sGemm(weights, rowBegin, row, width, weightScale, values + <usize>even * width, scales + at, sums + at, 1, target, outStride, scratch);
  }
  if (row < rowEnd) i2sGemm(weights, row, rowEnd, width, weightScale, values, scales, sums, count, out, outStride, scratch);
}
