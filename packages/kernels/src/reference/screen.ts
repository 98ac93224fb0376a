import type { Kernels } from '../contract.ts';
import { screenRowBytes, type ScreenKernels, screenValuesBytes } from '../contract-screen.ts';
import type { KernelMemory } from '../memory.ts';
import { f16Value, roundToEven } from './float.ts';

const { fround } = Math;

/** Norms are multiplied by this, so that they are not too small by their own rounding. */
const OUTWARD = 1 + 2 ** -20;

/** The screened head, one value at a time, with the roundings that assembly/screen.ts accounts for. */
export function referenceScreen(memory: KernelMemory, f16Gemv: Kernels['f16Gemv']): ScreenKernels {
  return {
    packScreen(matrix, rowBegin, rowEnd, width, rowStride, codes, scales, errors) {
      const g = (1.02 * (width + 8)) / 2 ** 24;
      for (let row = rowBegin; row < rowEnd; row++) {
        const weights = Array.from(memory.u16(matrix + 2 * row * rowStride, width), f16Value);
        const largest = weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
        const isFinite = largest < Infinity;
        const scale = isFinite ? fround(largest / 31) : 0;
        const stepsOf = (w: number): number => (scale > 0 ? roundToEven(fround(w / scale)) : 0);
        const rowBytes = screenRowBytes(width);
        const packed = memory.bytes(codes + row * rowBytes, rowBytes).fill(0);
        if (isFinite) for (const [column, w] of weights.entries()) setCode(packed, column, 32 + stepsOf(w));
        memory.f32(scales + 4 * row, 1)[0] = scale;
        const left = normBy4(weights.map((w) => w - scale * stepsOf(w)));
        const error = (left + g * normBy4(weights)) * OUTWARD;
        memory.f32(errors + 4 * row, 1)[0] = isFinite ? error * OUTWARD : Infinity;
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
        31 * Math.sqrt(width) * Math.sqrt(left) * OUTWARD,
        32 * rounded.reduce((sum, steps) => sum + steps, 0),
      ]);
    },

    screenRows(codes, rowBegin, rowEnd, width, scales, errors, values, bounds, lower, upper) {
      const bytes = memory.i8(values, screenValuesBytes(width));
      const p = Array.from({ length: width }, (_, i) => 256 * bytes[highAt(i)]! + bytes[highAt(i) + 128]!);
      const [unit, norm, left] = new Float64Array(memory.memory.buffer, bounds, 3) as unknown as [
        number,
        number,
        number,
      ];
      const rowBytes = screenRowBytes(width);
      for (let row = rowBegin; row < Math.ceil(rowEnd / 4) * 4; row++) {
        const packed = memory.bytes(codes + row * rowBytes, rowBytes);
        const dot = p.reduce((sum, steps, column) => sum + (codeOf(packed, column) - 32) * steps, 0);
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
      const least = Array.from(bounds, (bound) => (Number.isNaN(bound) ? -Infinity : bound)).toSorted((a, b) => b - a)[
        k - 1
      ]!;
      const found = Array.from(bounds.keys())
        .filter((row) => bounds[row]! >= least)
        .slice(0, k);
      memory.f32(heap, 1)[0] = least;
      memory.i32(candidates, 1 + k).set([found.length, ...found]);
    },

    selectCandidates(products, k, upper, rows, capacity, candidates) {
      const least = memory.i32(candidates, 1)[0] === k ? Math.min(...memory.f32(products, k)) : -Infinity;
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

/** Codes of 128 columns are in 96 bytes: those of the last 32 in the upper two bits, two at a time. */
function setCode(packed: Uint8Array, column: number, code: number): void {
  const at = 96 * Math.floor(column / 128) + (column % 32);
  const group = Math.floor((column % 128) / 32);
  if (group < 3) packed[at + 32 * group]! |= code;
  else for (const part of [0, 1, 2]) packed[at + 32 * part]! |= ((code >> (2 * part)) & 3) << 6;
}

function codeOf(packed: Uint8Array, column: number): number {
  const at = 96 * Math.floor(column / 128) + (column % 32);
  const group = Math.floor((column % 128) / 32);
  if (group < 3) return packed[at + 32 * group]! & 63;
  return (packed[at]! >> 6) | ((packed[at + 32]! >> 6) << 2) | ((packed[at + 64]! >> 6) << 4);
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
