import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadKernels } from '../src/load.ts';
import { VARIANTS } from './variants.ts';
import { referenceKernels } from '../src/reference/kernels.ts';
import type { Kernels, Lanes, Pointer } from '../src/contract.ts';

// Every implementation, the plain reference too, against values that the oracle computed (vectors/README.md).

interface Encoded {
  readonly type: '<f4' | '|i1' | '<u2';
  readonly shape: readonly number[];
  readonly base64: string;
}

type NumberArray = Float32Array<ArrayBuffer> | Int8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

function decode({ type, shape, base64 }: Encoded): NumberArray {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  const Type = { '<f4': Float32Array, '|i1': Int8Array, '<u2': Uint16Array }[type];
  const values = new Type(bytes.buffer);
  expect(values.length).toBe(shape.reduce((product, length) => product * length, 1));
  expect(values.length).toBeGreaterThan(0);
  return values;
}

const vectors = JSON.parse(readFileSync(new URL('vectors/kernels.json', import.meta.url), 'utf8')) as {
  exponentials: { x: Encoded; exp8: Encoded; exp16: Encoded };
  angles: { base: number; headDim: number; positions: number[]; unit: Encoded; x: Encoded; rotated: Encoded }[];
  products: ({ a: Encoded; b: Encoded } & Record<`dotF16_${Lanes}` | `dotBlas_${Lanes}`, Encoded>)[];
  fused: { a: Encoded; b: Encoded; c: Encoded; fma: Encoded };
  rows: Record<'x' | 'values' | 'scales' | 'weight' | 'normalized' | 'weighted', Encoded>[];
};

const LANES: readonly Lanes[] = [8, 16];

for (const implementation of ['reference', ...VARIANTS] as const) {
  describe(`${implementation} kernels against the oracle`, async () => {
    const wasm = await loadKernels({ variant: implementation === 'reference' ? 'auto' : implementation });
    const { memory } = wasm;
    const kernels: Kernels = implementation === 'reference' ? referenceKernels(memory) : wasm;

    const input = (values: NumberArray): Pointer => {
      const pointer = memory.allocate(values.byteLength);
      memory.bytes(pointer, values.byteLength).set(new Uint8Array(values.buffer));
      return pointer;
    };
    const encoded = (array: Encoded): Pointer => input(decode(array));
    const output = (length: number): Pointer => memory.allocate(4 * length);
    /** Bits, so that -0 is not 0. */
    const expectF32 = (pointer: Pointer, expected: Encoded): void => {
      const want = decode(expected) as Float32Array<ArrayBuffer>;
      expect(memory.f32(pointer, want.length)).toEqual(want);
    };

    test.each(LANES)('exponential, %i lanes', (lanes) => {
      const { x, exp8, exp16 } = vectors.exponentials;
      const count = x.shape[0]!;
      const padded = input(new Float32Array(Math.ceil(count / 4) * 4));
      memory.f32(padded, count).set(decode(x));
      const out = output(count + 4);
      kernels.exponential(padded, Math.ceil(count / 4) * 4, lanes, out);
      expectF32(out, lanes === 8 ? exp8 : exp16);
    });

    test.each(vectors.angles)('RoPE, base $base, head $headDim', ({ base, headDim, positions, unit, x, rotated }) => {
      const cosines = output(4096 * (headDim / 2));
      const sines = output(4096 * (headDim / 2));
      kernels.ropeTable(0, 4096, headDim, kernels.ropeRatio(base, headDim), 0, cosines, sines);
      const rotate = (values: Float32Array, heads: number): Float32Array => {
        const result = new Float32Array(values.length);
        for (const [row, position] of positions.entries()) {
          const width = heads * headDim;
          const pointer = input(values.slice(row * width, (row + 1) * width) as Float32Array<ArrayBuffer>);
          kernels.ropeNeox(pointer, 0, 1, heads, headDim, position, cosines, sines);
          result.set(memory.f32(pointer, width), row * width);
        }
        return result;
      };
      const units = new Float32Array(positions.length * headDim).map((_, i) => (i % headDim < headDim / 2 ? 1 : 0));
      expect(rotate(units, 1)).toEqual(decode(unit));
      expect(rotate(decode(x) as Float32Array, 2)).toEqual(decode(rotated));
    });

    for (const lanes of LANES) {
      test.each(vectors.products)(`products, ${lanes} lanes, $b.shape`, (entry) => {
        const [rows, width] = entry.a.shape as [number, number];
        const count = entry.b.shape[0]!;
        const matrix = encoded(entry.a);
        const vectorsPointer = encoded(entry.b);
        const out = output(count * rows);
        const scratch = output(width);
        kernels.f16Gemm(matrix, 0, rows, width, width, vectorsPointer, width, count, out, rows, lanes, scratch);
        expectF32(out, entry[`dotBlas_${lanes}`]);
        kernels.roundToF16(vectorsPointer, count * width, vectorsPointer);
        for (let i = 0; i < count; i++) {
          kernels.f16Gemv(
            matrix,
            0,
            rows,
            width,
            width,
            vectorsPointer + 4 * i * width,
            out + 4 * i * rows,
            lanes,
            scratch,
          );
        }
        expectF32(out, entry[`dotF16_${lanes}`]);
      });
    }

    test('fused multiply-add', () => {
      const { a, b, c, fma } = vectors.fused;
      const out = output(fma.shape[0]!);
      kernels.multiplyAdd(encoded(a), encoded(b), encoded(c), fma.shape[0]!, out);
      expectF32(out, fma);
    });

    test.each(vectors.rows)('quantization and norm, $x.shape', (entry) => {
      const [rows, width] = entry.x.shape as [number, number];
      const x = encoded(entry.x);
      const values = memory.allocate(rows * width);
      const scales = output(rows);
      const sums = output(rows);
      kernels.quantizeRows(x, 0, rows, width, values, scales, sums);
      const want = decode(entry.values) as Int8Array;
      expect(memory.i8(values, rows * width)).toEqual(want);
      expectF32(scales, entry.scales);
      const expectedSums = Array.from({ length: rows }, (_, row) =>
        want.slice(row * width, (row + 1) * width).reduce((a, b) => a + b, 0),
      );
      expect([...memory.i32(sums, rows)]).toEqual(expectedSums);
      const out = output(rows * width);
      const normalized = output(rows * width);
      kernels.rmsNorm(x, encoded(entry.weight), 0, rows, width, Math.fround(1e-5), out, normalized);
      expectF32(normalized, entry.normalized);
      expectF32(out, entry.weighted);
    });
  });
}
