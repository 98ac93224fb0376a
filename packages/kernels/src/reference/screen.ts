import type { Kernels } from '../contract.ts';
import type { ScreenKernels } from '../contract-screen.ts';
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
        const scale = isFinite ? fround(largest / 127) : 0;
        const code = (w: number): number => (scale > 0 ? roundToEven(fround(w / scale)) : 0);
        memory.i8(codes + row * width, width).set(weights.map(code));
        memory.f32(scales + 4 * row, 1)[0] = scale;
        const left = normBy4(weights.map((w) => w - scale * code(w)));
        const error = (left + g * normBy4(weights)) * OUTWARD;
        memory.f32(errors + 4 * row, 1)[0] = isFinite ? error * OUTWARD : Infinity;
      }
    },

    quantizeForScreen(vector, width, values, bounds) {
      const x = memory.f32(vector, width);
      const most = Math.min(32_767, Math.floor((4 * (2 ** 31 - 1)) / (127 * width)));
      const largest = x.reduce((amax, value) => Math.max(amax, Math.abs(value)), 0);
      const unit = largest < Infinity ? fround(largest / most) : Number.NaN;
      const rounded = Array.from(x, (value) => {
        const steps = Math.min(most, Math.max(-most, roundToEven(fround(value / unit))));
        return Number.isNaN(steps) ? 0 : steps;
      });
      new Int16Array(memory.memory.buffer, values, width).set(rounded);
      const squares = x.reduce((sum, value) => sum + value * value, 0);
      const left = x.reduce((sum, value, i) => sum + (value - unit * rounded[i]!) ** 2, 0);
      new Float64Array(memory.memory.buffer, bounds, 3).set([
        unit,
        Math.sqrt(squares) * OUTWARD,
        127 * Math.sqrt(width) * Math.sqrt(left) * OUTWARD,
      ]);
    },

    screenRows(codes, rowBegin, rowEnd, width, scales, errors, values, bounds, lower, upper) {
      const p = new Int16Array(memory.memory.buffer, values, width);
      const [unit, norm, left] = new Float64Array(memory.memory.buffer, bounds, 3) as unknown as [
        number,
        number,
        number,
      ];
      for (let row = rowBegin; row < Math.ceil(rowEnd / 4) * 4; row++) {
        const dot = memory.i8(codes + row * width, width).reduce((sum, code, i) => sum + code * p[i]!, 0);
        const scale = memory.f32(scales + 4 * row, 1)[0]!;
        const estimate = dot * (scale * unit);
        let radius = memory.f32(errors + 4 * row, 1)[0]! * norm + scale * left;
        radius += (Math.abs(estimate) + radius) * 2 ** -22 + 2 ** -140;
        memory.f32(lower + 4 * row, 1)[0] = estimate - radius;
        memory.f32(upper + 4 * row, 1)[0] = estimate + radius;
      }
    },

    selectCandidates(lower, upper, rows, k, capacity, heap, candidates) {
      const bounds = Array.from(memory.f32(lower, rows), (bound) => (Number.isNaN(bound) ? -Infinity : bound));
      const threshold = bounds.toSorted((a, b) => b - a)[k - 1]!;
      const found = Array.from(memory.f32(upper, rows).keys()).filter(
        (row) => !(memory.f32(upper, rows)[row]! < threshold),
      );
      const chosen = found.length <= capacity ? [found.length, ...found] : [-1];
      memory.f32(heap, 1)[0] = threshold;
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

/** Squares summed by column modulo 4, the four sums by halving. */
function normBy4(values: readonly number[]): number {
  const sums = [0, 0, 0, 0];
  for (const [i, value] of values.entries()) sums[i % 4]! += value * value;
  return Math.sqrt(sums[0]! + sums[2]! + (sums[1]! + sums[3]!));
}
