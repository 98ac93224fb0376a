// The kernels as they are exported and as threads call them: each counts its share of the work. What kernels use of one
// another is part of the caller's work, and not counted. Numbers are those of src/operations.ts; what a row, an element
// and a byte of each is, stands in docs/kernel-counters.md.
import * as attend from './attention';
import * as attendF32 from './attention-f32';
import * as bf16 from './bf16-matmul';
import * as elementwise from './elementwise';
import * as f16 from './f16-matmul';
import * as f32Matrix from './f32-matmul';
import * as nonFinite from './find-non-finite';
import * as i2s from './i2s';
import * as halves from './i2s-i16';
import * as wide from './i2s-wide';
import * as q4 from './q4-0';
import * as q6 from './q6-k';
import * as q8 from './q8-0';
import * as quantization from './quantize';
import * as blocks from './quantize-blocks';
import * as norm from './rms-norm';
import * as rope from './rope';
import * as screen from './screen';
import * as packing from './screen-pack';
import * as selection from './screen-select';
import * as tl1 from './tl1';
import * as tq2 from './tq2-0';
import { started, tally } from './counters';

export function quantizeRows(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize,
): void {
  const start = started();
  quantization.quantizeRows(x, rowBegin, rowEnd, width, values, scales, sums);
  tallyRows(0, start, rowEnd - rowBegin, width, 5 * width + 8, 0);
}

export function i2sGemv(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize, scratch: usize,
): void {
  const start = started();
  i2s.i2sGemv(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, out, scratch);
  tallyRows(1, start, rowEnd - rowBegin, width, (width >> 2) + 4, width + 8);
}

export function i2sGemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, count: i32, out: usize, outStride: i32, scratch: usize,
): void {
  const start = started();
  i2s.i2sGemm(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, count, out, outStride, scratch);
  tallyRows(2, start, rowEnd - rowBegin, width * count, (width >> 2) + 4 * count, count * (width + 8));
}

export function rmsNorm(
  x: usize, weight: usize, rowBegin: i32, rowEnd: i32, width: i32, epsilon: f32, out: usize, normalized: usize,
): void {
  const start = started();
  norm.rmsNorm(x, weight, rowBegin, rowEnd, width, epsilon, out, normalized);
  tallyRows(3, start, rowEnd - rowBegin, width, 8 * width, 4 * width);
}

export function ropeNeox(
  x: usize, rowBegin: i32, rowEnd: i32, heads: i32, headDim: i32, position: i32, cosines: usize, sines: usize,
): void {
  const start = started();
  rope.ropeNeox(x, rowBegin, rowEnd, heads, headDim, position, cosines, sines);
  tallyRows(4, start, rowEnd - rowBegin, heads * headDim, 8 * heads * headDim + 4 * headDim, 0);
}

export function storeKeysValues(
  keys: usize, values: usize, count: i32, kvHeads: i32, headDim: i32, position: i32, cells: i32,
  keyCache: usize, valueCache: usize,
): void {
  storeKeysValuesShare(0, 1, keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache);
}

/** Threads split the kv heads; the first counts the rows. */
export function storeKeysValuesShare(
  thread: i32, threads: i32, keys: usize, values: usize, count: i32, kvHeads: i32, headDim: i32, position: i32, cells: i32,
  keyCache: usize, valueCache: usize,
): void {
  const start = started();
  const headBegin = kvHeads * thread / threads, headEnd = kvHeads * (thread + 1) / threads;
  attend.storeKeysValues(headBegin, headEnd, keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache);
  const elements = <u64>count * <u64>(headEnd - headBegin) * <u64>headDim;
  tally(5, start, thread == 0 ? count : 0, 2 * elements, 12 * elements, 0);
}

export function attention(
  q: usize, headBegin: i32, headEnd: i32, heads: i32, kvHeads: i32, headDim: i32, count: i32, position: i32,
  keyCache: usize, valueCache: usize, cacheCells: i32, cells: i32, scale: f32, lanes: i32,
  out: usize, scores: usize, probabilities: usize, scratch: usize,
): void {
  const start = started();
  attend.attention(
    q, headBegin, headEnd, heads, kvHeads, headDim, count, position, keyCache, valueCache, cacheCells, cells,
    scale, lanes, out, scores, probabilities, scratch,
  );
  tallyAttention(6, start, headEnd - headBegin, count, headDim, cells, 4);
}

export function f16Gemv(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32, vector: usize, out: usize, lanes: i32,
  scratch: usize,
): void {
  const start = started();
  f16.f16Gemv(matrix, rowBegin, rowEnd, width, rowStride, vector, out, lanes, scratch);
  tallyRows(7, start, rowEnd - rowBegin, width, 2 * width + 4, 4 * width);
}

export function f16Gemm(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32,
  vectors: usize, vectorStride: i32, count: i32, out: usize, outStride: i32, lanes: i32, scratch: usize,
): void {
  const start = started();
  f16.f16Gemm(matrix, rowBegin, rowEnd, width, rowStride, vectors, vectorStride, count, out, outStride, lanes, scratch);
  tallyRows(8, start, rowEnd - rowBegin, width * count, 2 * width + 4 * count, 4 * width * count);
}

export function widenF16(source: usize, count: i32, out: usize): void {
  const start = started();
  f16.widenF16(source, count, out);
  tallyRows(9, start, count, 1, 6, 0);
}

export function roundToF16(source: usize, count: i32, out: usize): void {
  const start = started();
  f16.roundToF16(source, count, out);
  tallyRows(10, start, count, 1, 8, 0);
}

export function add(a: usize, b: usize, count: i32, out: usize): void {
  const start = started();
  elementwise.add(a, b, count, out);
  tallyRows(11, start, count, 1, 12, 0);
}

export function reluSquaredGate(gate: usize, up: usize, count: i32, out: usize, relu: usize, squared: usize): void {
  const start = started();
  elementwise.reluSquaredGate(gate, up, count, out, relu, squared);
  tallyRows(12, start, count, 1, 12, 0);
}

export function siluGate(gate: usize, up: usize, count: i32, lanes: i32, out: usize, silu: usize): void {
  const start = started();
  elementwise.siluGate(gate, up, count, lanes, out, silu);
  tallyRows(13, start, count, 1, 12, 0);
}

export function i2sGemvWide(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize, scratch: usize,
): void {
  const start = started();
  wide.i2sGemvWide(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, out, scratch);
  tallyRows(14, start, rowEnd - rowBegin, width, (width >> 2) + 4, width + 8);
}

export function i2sGemmWide(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, count: i32, out: usize, outStride: i32, scratch: usize,
): void {
  const start = started();
  wide.i2sGemmWide(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, count, out, outStride, scratch);
  tallyRows(15, start, rowEnd - rowBegin, width * count, (width >> 2) + 4 * count, count * (width + 8));
}

export function quantizeRowsTl1(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize,
): void {
  const start = started();
  quantization.quantizeRowsTl1(x, rowBegin, rowEnd, width, values, scales, sums);
  tallyRows(16, start, rowEnd - rowBegin, width, 5 * width + 8, 0);
}

export function tl1Gemv(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, out: usize, scratch: usize,
): void {
  const start = started();
  tl1.tl1Gemv(weights, rowBegin, rowEnd, width, weightScale, values, scales, out, scratch);
  tallyRows(17, start, rowEnd - rowBegin, width, (width >> 2) + 4, width + 4);
}

export function storeKeysValuesF32(
  keys: usize, values: usize, count: i32, kvHeads: i32, headDim: i32, position: i32, cells: i32,
  keyCache: usize, valueCache: usize,
): void {
  storeKeysValuesF32Share(0, 1, keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache);
}

/** Threads split the kv heads; the first counts the rows. */
export function storeKeysValuesF32Share(
  thread: i32, threads: i32, keys: usize, values: usize, count: i32, kvHeads: i32, headDim: i32, position: i32, cells: i32,
  keyCache: usize, valueCache: usize,
): void {
  const start = started();
  const headBegin = kvHeads * thread / threads, headEnd = kvHeads * (thread + 1) / threads;
  attendF32.storeKeysValuesF32(headBegin, headEnd, keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache);
  const elements = <u64>count * <u64>(headEnd - headBegin) * <u64>headDim;
  tally(18, start, thread == 0 ? count : 0, 2 * elements, 16 * elements, 0);
}

export function attentionF32(
  q: usize, headBegin: i32, headEnd: i32, heads: i32, kvHeads: i32, headDim: i32, count: i32, position: i32,
  keyCache: usize, valueCache: usize, cacheCells: i32, cells: i32, scale: f32, lanes: i32,
  out: usize, scores: usize, probabilities: usize, scratch: usize,
): void {
  const start = started();
  attendF32.attentionF32(
    q, headBegin, headEnd, heads, kvHeads, headDim, count, position, keyCache, valueCache, cacheCells, cells,
    scale, lanes, out, scores, probabilities, scratch,
  );
  tallyAttention(19, start, headEnd - headBegin, count, headDim, cells, 8);
}

export function packScreen(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32,
  codes: usize, fineCodes: usize, scales: usize, errors: usize, fineErrors: usize, scratch: usize,
): void {
  const start = started();
  packing.packScreen(
    matrix, rowBegin, rowEnd, width, rowStride, codes, fineCodes, scales, errors, fineErrors, scratch,
  );
  const bytes = 2 * width + <i32>(packing.codesBytes(width) + packing.fineCodesBytes(width)) + 12;
  tallyRows(20, start, rowEnd - rowBegin, width, bytes, 0);
}

export function quantizeForScreen(vector: usize, width: i32, values: usize, bounds: usize): void {
  const start = started();
  packing.quantizeForScreen(vector, width, values, bounds);
  tallyRows(21, start, 1, width, 4 * width + <i32>packing.valuesBytes(width) + 32, 0);
}

export function screenRows(
  codes: usize, rowBegin: i32, rowEnd: i32, width: i32, scales: usize, errors: usize,
  values: usize, bounds: usize, lower: usize, upper: usize, scratch: usize,
): void {
  const start = started();
  screen.screenRows(codes, rowBegin, rowEnd, width, scales, errors, values, bounds, lower, upper, scratch);
  const bytes = <i32>packing.codesBytes(width) + 16;
  tallyRows(22, start, rowEnd - rowBegin, width, bytes, <i32>packing.valuesBytes(width) + 32);
}

export function selectLargest(lower: usize, rows: i32, k: i32, heap: usize, candidates: usize): void {
  const start = started();
  selection.selectLargest(lower, rows, k, heap, candidates);
  tallyRows(28, start, rows, 1, 4, 0);
}

export function refineRows(
  fineCodes: usize, rows: i32, width: i32, scales: usize, fineErrors: usize, values: usize, bounds: usize,
  products: usize, k: i32, lower: usize, upper: usize, share: i32, shares: i32, scratch: usize,
): void {
  const start = started();
  const refined = screen.refineRows(
    fineCodes, rows, width, scales, fineErrors, values, bounds, products, k, lower, upper, share, shares, scratch,
  );
  const bytes = <i32>packing.fineCodesBytes(width) + 24;
  tallyRows(29, start, refined, width, bytes, <i32>packing.valuesBytes(width) + 32 + 4 * k + 4 * rows);
}

export function selectCandidates(
  upper: usize, rows: i32, products: usize, k: i32, capacity: i32, candidates: usize,
): void {
  const start = started();
  selection.selectCandidates(upper, rows, products, k, capacity, candidates);
  tallyRows(23, start, rows, 1, 4, 4 * k);
}

export function rescoreCandidates(
  matrix: usize, width: i32, rowStride: i32, vector: usize, candidates: usize, out: usize, lanes: i32,
  share: i32, shares: i32, scratch: usize,
): void {
  const start = started();
  const rows = selection.rescoreCandidates(
    matrix, width, rowStride, vector, candidates, out, lanes, share, shares, scratch,
  );
  tallyRows(24, start, rows, width, 2 * width + 4, 4 * width);
}

export function f16GemvUnscreened(
  matrix: usize, rows: i32, width: i32, rowStride: i32, vector: usize, candidates: usize, out: usize, lanes: i32,
  share: i32, shares: i32, scratch: usize,
): void {
  const start = started();
  const done = selection.f16GemvUnscreened(
    matrix, rows, width, rowStride, vector, candidates, out, lanes, share, shares, scratch,
  );
  if (done >= 0) tallyRows(25, start, done, width, 2 * width + 4, 4 * width);
}

export function i2sGemvI16(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize, scratch: usize,
): void {
  const start = started();
  halves.i2sGemvI16(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, out, scratch);
  tallyRows(26, start, rowEnd - rowBegin, width, (width >> 2) + 4, width + 8);
}

export function i2sGemmI16(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, count: i32, out: usize, outStride: i32, scratch: usize,
): void {
  const start = started();
  halves.i2sGemmI16(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, count, out, outStride, scratch);
  tallyRows(27, start, rowEnd - rowBegin, width * count, (width >> 2) + 4 * count, count * (width + 8));
}

export function ropeNorm(
  x: usize, rowBegin: i32, rowEnd: i32, heads: i32, headDim: i32, position: i32, cosines: usize, sines: usize,
): void {
  const start = started();
  rope.ropeNorm(x, rowBegin, rowEnd, heads, headDim, position, cosines, sines);
  tallyRows(32, start, rowEnd - rowBegin, heads * headDim, 8 * heads * headDim + 4 * headDim, 0);
}

export function addToRows(x: usize, rowBegin: i32, rowEnd: i32, width: i32, vector: usize): void {
  const start = started();
  elementwise.addToRows(x, rowBegin, rowEnd, width, vector);
  tallyRows(33, start, rowEnd - rowBegin, width, 8 * width, 4 * width);
}

export function multiplyBy(x: usize, count: i32, factor: f32): void {
  const start = started();
  elementwise.multiplyBy(x, count, factor);
  tallyRows(34, start, count, 1, 8, 0);
}

export function quantizeRowsQ8_0(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize,
): void {
  const start = started();
  blocks.quantizeRowsQ8_0(x, rowBegin, rowEnd, width, values, scales);
  tallyRows(35, start, rowEnd - rowBegin, width, 5 * width + (width >> 3), 0);
}

export function quantizeRowsQ8K(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize,
): void {
  const start = started();
  blocks.quantizeRowsQ8K(x, rowBegin, rowEnd, width, values, scales, sums);
  tallyRows(36, start, rowEnd - rowBegin, width, 5 * width + (width >> 6) * 9, 0);
}

export function roundToBf16(source: usize, count: i32, out: usize): void {
  const start = started();
  bf16.roundToBf16(source, count, out);
  tallyRows(37, start, count, 1, 8, 0);
}

export function f32Gemv(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, vector: usize, out: usize, lanes: i32,
): void {
  const start = started();
  f32Matrix.f32Gemv(matrix, rowBegin, rowEnd, width, vector, out, lanes);
  tallyRows(38, start, rowEnd - rowBegin, width, 4 * width + 4, 4 * width);
}

export function f32Gemm(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, vectors: usize, count: i32,
  out: usize, outStride: i32, lanes: i32,
): void {
  const start = started();
  f32Matrix.f32Gemm(matrix, rowBegin, rowEnd, width, vectors, count, out, outStride, lanes);
  tallyRows(39, start, rowEnd - rowBegin, width * count, 4 * width + 4 * count, 4 * width * count);
}

export function bf16Gemm(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, vectors: usize, count: i32,
  out: usize, outStride: i32, lanes: i32,
): void {
  const start = started();
  bf16.bf16Gemm(matrix, rowBegin, rowEnd, width, vectors, count, out, outStride, lanes);
  tallyRows(40, start, rowEnd - rowBegin, width * count, 2 * width + 4 * count, 4 * width * count);
}

export function q8_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const start = started();
  q8.q8_0Gemm(weights, rowBegin, rowEnd, width, values, scales, count, out, outStride);
  tallyRows(41, start, rowEnd - rowBegin, width * count, (width >> 5) * 34 + 4 * count, count * (width + (width >> 3)));
}

export function q4_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const start = started();
  q4.q4_0Gemm(weights, rowBegin, rowEnd, width, values, scales, count, out, outStride);
  tallyRows(42, start, rowEnd - rowBegin, width * count, (width >> 5) * 18 + 4 * count, count * (width + (width >> 3)));
}

export function q6KGemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const start = started();
  q6.q6KGemm(weights, rowBegin, rowEnd, width, values, scales, count, out, outStride);
  tallyRows(43, start, rowEnd - rowBegin, width * count, (width >> 8) * 210 + 4 * count, count * (width + (width >> 6)));
}

export function tq2_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const start = started();
  tq2.tq2_0Gemm(weights, rowBegin, rowEnd, width, values, scales, sums, count, out, outStride);
  tallyRows(44, start, rowEnd - rowBegin, width * count, (width >> 8) * 66 + 4 * count, count * (width + (width >> 6) * 9));
}

export function packRowPairs(packed: usize, rows: i32, columns: i32, layout: i32, out: usize): i32 {
  const start = started();
  const bad = i2s.packRowPairs(packed, rows, columns, layout, out);
  tallyRows(64, start, rows, columns, columns >> 1, 0);
  return bad;
}

export function tl1ToRowPairs(
  packed: usize, rows: i32, columns: i32, tileRows: i32, tileColumns: i32, innerRows: i32, out: usize,
): i32 {
  const start = started();
  const bad = tl1.tl1ToRowPairs(packed, rows, columns, tileRows, tileColumns, innerRows, out);
  tallyRows(65, start, rows, columns, columns >> 1, 0);
  return bad;
}

export function tl1ToTiles(
  packed: usize, rows: i32, columns: i32, tileRows: i32, tileColumns: i32, innerRows: i32, out: usize,
): i32 {
  const start = started();
  const bad = tl1.tl1ToTiles(packed, rows, columns, tileRows, tileColumns, innerRows, out);
  tallyRows(66, start, rows, columns, columns >> 1, 0);
  return bad;
}

export function ropeTable(
  positionBegin: i32, positionEnd: i32, headDim: i32, ratio: f32, factors: usize, cosines: usize, sines: usize,
): void {
  const start = started();
  rope.ropeTable(positionBegin, positionEnd, headDim, ratio, factors, cosines, sines);
  tallyRows(67, start, positionEnd - positionBegin, headDim, 4 * headDim, 0);
}

export function findNonFiniteF16(source: usize, count: i32): i32 {
  const start = started();
  const index = f16.findNonFiniteF16(source, count);
  tallyRows(68, start, count, 1, 2, 0);
  return index;
}

export function exponential(x: usize, count: i32, lanes: i32, out: usize): void {
  const start = started();
  elementwise.exponential(x, count, lanes, out);
  tallyRows(69, start, count, 1, 8, 0);
}

export function multiplyAdd(a: usize, b: usize, c: usize, count: i32, out: usize): void {
  const start = started();
  elementwise.multiplyAdd(a, b, c, count, out);
  tallyRows(70, start, count, 1, 16, 0);
}

export function tq1_0ToTq2_0(source: usize, count: i32, out: usize): void {
  const start = started();
  tq2.tq1_0ToTq2_0(source, count, out);
  tallyBlocks(71, start, count, 256, 54 + 66);
}

export function copyF32(source: usize, count: i32, out: usize): void {
  const start = started();
  f32Matrix.copyF32(source, count, out);
  tallyRows(72, start, count, 1, 8, 0);
}

export function widenBf16(source: usize, count: i32, out: usize): void {
  const start = started();
  bf16.widenBf16(source, count, out);
  tallyRows(73, start, count, 1, 6, 0);
}

export function widenQ8_0(source: usize, count: i32, out: usize): void {
  const start = started();
  q8.widenQ8_0(source, count, out);
  tallyBlocks(74, start, count, 32, 34 + 128);
}

export function widenQ4_0(source: usize, count: i32, out: usize): void {
  const start = started();
  q4.widenQ4_0(source, count, out);
  tallyBlocks(75, start, count, 32, 18 + 128);
}

export function widenQ6K(source: usize, count: i32, out: usize): void {
  const start = started();
  q6.widenQ6K(source, count, out);
  tallyBlocks(76, start, count, 256, 210 + 1024);
}

export function widenTq2_0(source: usize, count: i32, out: usize): void {
  const start = started();
  tq2.widenTq2_0(source, count, out);
  tallyBlocks(77, start, count, 256, 66 + 1024);
}

export function findNonFiniteF32(source: usize, count: i32): i32 {
  const start = started();
  const index = nonFinite.findNonFiniteF32(source, count);
  tallyRows(78, start, count, 1, 4, 0);
  return index;
}

export function findNonFiniteBf16(source: usize, count: i32): i32 {
  const start = started();
  const index = nonFinite.findNonFiniteBf16(source, count);
  tallyRows(79, start, count, 1, 2, 0);
  return index;
}

export function findNonFiniteScale(source: usize, count: i32, strideBytes: i32): i32 {
  const start = started();
  const index = nonFinite.findNonFiniteScale(source, count, strideBytes);
  tallyRows(80, start, count, 1, 2, 0);
  return index;
}

// @ts-ignore: decorator
@inline
function tallyRows(operation: i32, start: f64, rows: i32, elements: i32, bytes: i32, callBytes: i32): void {
  tally(operation, start, rows, <u64>rows * <u64>elements, <u64>rows * <u64>bytes, <u64>callBytes);
}

/** Of `count` values in blocks of `blockSize`, which are `blockBytes` with what becomes of them. */
// @ts-ignore: decorator
@inline
function tallyBlocks(operation: i32, start: f64, count: i32, blockSize: i32, blockBytes: i32): void {
  tally(operation, start, count, <u64>count, <u64>(count / blockSize) * <u64>blockBytes, 0);
}

/** @param cellBytes - of one key and one value in the cache */
// @ts-ignore: decorator
@inline
function tallyAttention(
  operation: i32, start: f64, heads: i32, count: i32, headDim: i32, cells: i32, cellBytes: i32,
): void {
  const rows = <u64>(heads * count);
  const bytes = rows * <u64>(8 * headDim) + <u64>heads * <u64>(cellBytes * cells * headDim);
  tally(operation, start, heads * count, rows * <u64>(2 * cells * headDim), bytes, 0);
}
