import type { Kernels, Pointer } from '../contract.ts';
import { screenFineRowBytes, type ScreenKernels, screenRowBytes, screenValuesBytes } from '../contract-screen.ts';
import type { KernelMemory } from '../memory.ts';
import { f16Value, roundToEven } from './float.ts';

const { fround } = Math;

/** Norms are multiplied by this, so that they are not too small by their own rounding. */
const OUTWARD = 1 + 2 ** -20;

/** The screened head, one value at a time, with the roundings that assembly/screen.ts accounts for. */
export function referenceScreen(memory: KernelMemory, f16Gemv: Kernels['f16Gemv']): ScreenKernels {
  return {
    packScreen(matrix, rowBegin, rowEnd, width, rowStride, codes, fineCodes, scales, errors, fineErrors) {
      const g = (1.02 * (width + 8)) / 2 ** 24;
      for (let row = rowBegin; row < rowEnd; row++) {
        const weights = Array.from(memory.u16(matrix + 2 * row * rowStride, width), f16Value);
        const largest = weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
        const isFinite = largest < Infinity;
        const scale = isFinite ? fround(largest / 127) : 0;
        const codeOf = (w: number): number => 128 + (scale > 0 ? roundToEven(fround(w / scale)) : 0);
        const coarse = memory.bytes(codes + row * screenRowBytes(width), screenRowBytes(width)).fill(0);
        const fine = memory.bytes(fineCodes + row * screenFineRowBytes(width), screenFineRowBytes(width)).fill(0);
        for (const [column, w] of isFinite ? weights.entries() : []) {
          setCoarse(coarse, column, codeOf(w) >> 2);
          fine[fineAt(column)]! |= (codeOf(w) & 3) << fineShift(column);
        }
        const errorOf = (left: readonly number[]): number =>
          isFinite ? (normBy4(left) + g * normBy4(weights)) * OUTWARD * OUTWARD : Infinity;
        memory.f32(scales + 4 * row, 1)[0] = scale;
        memory.f32(errors + 4 * row, 1)[0] = errorOf(weights.map((w) => w - scale * (4 * (codeOf(w) >> 2) - 126.5)));
        memory.f32(fineErrors + 4 * row, 1)[0] = errorOf(weights.map((w) => w - scale * (codeOf(w) - 128)));
      }
    },

    quantizeForScreen(vector, width, values, bounds) {
      const x = memory.f32(vector, width);
      const most = 32_639;
      const largest = x.reduce((amax, value) => Math.max(amax, Math.abs(value)), 0);
      const unit = largest < Infinity ? fround(largest / most) : Number.NaN;
      const rounded = Array.from(x, (value) => {
        const steps = Math.min(most, Math.max(-most, roundToEven(fround(value / unit))));
        return Number.isNaN(steps) ? 0 : steps;
      });
      const bytes = memory.i8(values, screenValuesBytes(width)).fill(0);
      for (const [column, steps] of rounded.entries()) {
        const high = Math.floor((steps + 128) / 256);
        bytes[highAt(column)] = high;
        bytes[highAt(column) + 128] = steps - 256 * high;
      }
      const squares = x.reduce((sum, value) => sum + value * value, 0);
      const left = x.reduce((sum, value, i) => sum + (value - unit * rounded[i]!) ** 2, 0);
      new Float64Array(memory.memory.buffer, bounds, 4).set([
        unit,
        Math.sqrt(squares) * OUTWARD,
        127 * Math.sqrt(width) * Math.sqrt(left) * OUTWARD,
        rounded.reduce((sum, steps) => sum + steps, 0),
      ]);
    },

    screenRows(codes, rowBegin, rowEnd, width, scales, errors, values, bounds, lower, upper) {
      const p = stepsAt(memory, values, width);
      const [unit, norm, left] = boundsAt(memory, bounds);
      for (let row = rowBegin; row < Math.ceil(rowEnd / 4) * 4; row++) {
        const coarse = memory.bytes(codes + row * screenRowBytes(width), screenRowBytes(width));
        const dot = p.reduce((sum, steps, column) => sum + (4 * coarseOf(coarse, column) - 126.5) * steps, 0);
        const scale = memory.f32(scales + 4 * row, 1)[0]!;
        const estimate = dot * (scale * unit);
        let radius = memory.f32(errors + 4 * row, 1)[0]! * norm + scale * left;
        radius += (Math.abs(estimate) + radius) * 2 ** -22 + 2 ** -140;
        memory.f32(lower + 4 * row, 1)[0] = estimate - radius;
        memory.f32(upper + 4 * row, 1)[0] = estimate + radius;
      }
    },

    selectLargest(lower, rows, k, heap, candidates) {
      const bounds = memory.f32(lower, rows);
      const ordered = Array.from(bounds, (bound) => (Number.isNaN(bound) ? -Infinity : bound)).toSorted(
        (a, b) => b - a,
      );
      const least = ordered[k - 1]!;
      const found = Array.from(bounds.keys()).filter((row) => !(bounds[row]! < least));
      memory.f32(heap, 1)[0] = least;
      memory.i32(candidates, 1 + k).set([k, ...found.slice(0, k)]);
    },

    refineRows(fineCodes, rows, width, scales, fineErrors, values, bounds, products, k, lower, upper) {
      const p = stepsAt(memory, values, width);
      const [unit, norm, left] = boundsAt(memory, bounds);
      const least = leastOf(memory.f32(products, k));
      const [lows, highs] = [memory.f32(lower, rows), memory.f32(upper, rows)];
      for (let row = 0; row < rows; row++) {
        const [low, high] = [lows[row]!, highs[row]!];
        if (high < least) continue;
        const fine = memory.bytes(fineCodes + row * screenFineRowBytes(width), screenFineRowBytes(width));
        const dot = p.reduce(
          (sum, steps, column) => sum + (((fine[fineAt(column)]! >> fineShift(column)) & 3) - 1.5) * steps,
          0,
        );
        const scale = memory.f32(scales + 4 * row, 1)[0]!;
        const estimate = (low + high) / 2 + dot * (scale * unit);
        let radius = memory.f32(fineErrors + 4 * row, 1)[0]! * norm + scale * left;
        const slack = (Math.abs(estimate) + radius) * 2 ** -22 + (Math.abs(low) + Math.abs(high)) * 2 ** -23;
        radius += slack + 2 ** -140;
        lows[row] = estimate - radius;
        highs[row] = estimate + radius;
      }
    },

    selectCandidates(upper, rows, products, k, capacity, candidates) {
      const least = leastOf(memory.f32(products, k));
      const bounds = memory.f32(upper, rows);
      const found = Array.from(bounds.keys()).filter((row) => !(bounds[row]! < least));
      const chosen = found.length <= capacity ? [found.length, ...found] : [-1];
      memory.i32(candidates, 1 + capacity).set(chosen);
    },

    rescoreCandidates(matrix, width, rowStride, vector, candidates, out, lanes, _share, _shares, scratch) {
      const count = Math.max(0, memory.i32(candidates, 1)[0]!);
      for (const [index, row] of memory.i32(candidates + 4, count).entries()) {
        f16Gemv(matrix, row, row + 1, width, rowStride, vector, out + 4 * (index - row), lanes, scratch);
      }
    },

    f16GemvUnscreened(matrix, rows, width, rowStride, vector, candidates, out, lanes, _share, _shares, scratch) {
      if (memory.i32(candidates, 1)[0]! >= 0) return;
      f16Gemv(matrix, 0, rows, width, rowStride, vector, out, lanes, scratch);
    },
  };
}

/** Six bits of 128 columns are in 96 bytes: those of the last 32 in the upper two bits, two at a time. */
function setCoarse(packed: Uint8Array, column: number, code: number): void {
  const at = 96 * Math.floor(column / 128) + (column % 32);
  const group = Math.floor((column % 128) / 32);
  if (group < 3) packed[at + 32 * group]! |= code;
  else for (const part of [0, 1, 2]) packed[at + 32 * part]! |= ((code >> (2 * part)) & 3) << 6;
}

function coarseOf(packed: Uint8Array, column: number): number {
  const at = 96 * Math.floor(column / 128) + (column % 32);
  const group = Math.floor((column % 128) / 32);
  if (group < 3) return packed[at + 32 * group]! & 63;
  return (packed[at]! >> 6) | ((packed[at + 32]! >> 6) << 2) | ((packed[at + 64]! >> 6) << 4);
}

/** Where a column's last two bits are: the byte, and the bits in it. */
function fineAt(column: number): number {
  return 32 * Math.floor(column / 128) + (column % 32);
}

function fineShift(column: number): number {
  return 2 * Math.floor((column % 128) / 32);
}

/** A vector's unit, its norm, and what its rounding can add to a product of a row with the scale 1. */
function boundsAt({ memory }: KernelMemory, bounds: Pointer): [unit: number, norm: number, left: number] {
  const [unit, norm, left] = new Float64Array(memory.buffer, bounds, 3);
  return [unit!, norm!, left!];
}

/** A vector's integers p. */
function stepsAt(memory: KernelMemory, values: Pointer, width: number): number[] {
  const bytes = memory.i8(values, screenValuesBytes(width));
  return Array.from({ length: width }, (_, i) => 256 * bytes[highAt(i)]! + bytes[highAt(i) + 128]!);
}

function leastOf(products: Float32Array): number {
  return products.reduce((least, product) => Math.min(least, product), Infinity);
}

/** Where the high byte of a column's value is. */
function highAt(column: number): number {
  return 256 * Math.floor(column / 128) + (column % 128);
}

/** Squares summed by column modulo 4, the four sums by halving. */
function normBy4(values: readonly number[]): number {
  const sums = [0, 0, 0, 0];
  for (const [i, value] of values.entries()) sums[i % 4]! += value * value;
  return Math.sqrt(sums[0]! + sums[2]! + (sums[1]! + sums[3]!));
}
