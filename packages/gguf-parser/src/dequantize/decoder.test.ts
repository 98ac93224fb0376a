import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as b from '../../test/builder.ts';
import { typeIdOf } from '../dialects.ts';
import type { GgmlTypeName } from '../tensor-types.ts';
import { openGguf } from '../open.ts';
import type { I2sLayout } from './i2s.ts';
import type { Tl1Tiling } from './tl1.ts';

interface Vector {
  readonly name: string;
  readonly type: GgmlTypeName;
  readonly ggmlDims: readonly number[];
  readonly i2sLayout?: I2sLayout;
  readonly tl1Tiling?: Tl1Tiling;
  /** Base64; little-endian f32 in `values`. */
  readonly bytes: string;
  readonly values: string;
}

const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../../test/vectors/dequantize.json', import.meta.url), 'utf8'),
);

function fileOf({ type, ggmlDims, bytes }: Vector): Uint8Array {
  const id = typeIdOf('bitnet.cpp', type);
  return b.file({
    tensors: [b.tensor({ dims: ggmlDims, type: id })],
    data: Uint8Array.from(Buffer.from(bytes, 'base64')),
  });
}

function valuesOf({ values }: Vector): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(values, 'base64')).buffer);
}

function optionsOf({ tl1Tiling }: Vector): { tl1Tiling?: Tl1Tiling } {
  return tl1Tiling === undefined ? {} : { tl1Tiling };
}

test('there are vectors of every type that can be dequantized', () => {
  expect([...new Set(vectors.map(({ type }) => type))].join(' ')).toBe(
    'F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K TQ1_0 TQ2_0 I2_S TL1',
  );
});

describe.each(vectors)('$name', (vector) => {
  test('every value is the one that was packed, to the bit', async () => {
    const gguf = await openGguf(fileOf(vector), { i2sLayout: vector.i2sLayout ?? '128x32' });
    const floats = await gguf.dequantize('t', optionsOf(vector));
    expect(floats).toEqual(valuesOf(vector)); // toEqual tells -0 from 0, and NaN equals NaN
  });

  test('in chunks as small as can be, the same', async () => {
    const gguf = await openGguf(fileOf(vector), { i2sLayout: vector.i2sLayout ?? '128x32' });
    const chunks = await b.collect(gguf.streamFloats('t', { ...optionsOf(vector), chunkBytes: 1 }));
    expect(Float32Array.from(chunks.flatMap((chunk) => [...chunk]))).toEqual(valuesOf(vector));
  });
});

test('the wrong I2_S layout gives other weights, and no error', async () => {
  const vector = vectors.find(({ i2sLayout }) => i2sLayout === '128x32')!;
  const gguf = await openGguf(fileOf(vector), { i2sLayout: '64x16' });
  expect(await gguf.dequantize('t')).not.toEqual(valuesOf(vector));
});

test('code 3 is read as 0, as bitnet.cpp reads it', async () => {
  const trailer = b.concat(b.f32(2), new Uint8Array(28));
  const data = b.concat(Uint8Array.of(0b11_00_01_10), new Uint8Array(31).fill(0b01_01_01_01), trailer);
  const gguf = await openGguf(b.file({ tensors: [b.tensor({ dims: [128], type: 36 })], data }));
  const floats = await gguf.dequantize('t');
  expect([floats[0], floats[32], floats[64], floats[96]]).toEqual([0, -2, 0, 2]);
});

test('TL1 needs a tiling, and one that fits', async () => {
  const gguf = await openGguf(fileOf(vectors.find(({ type }) => type === 'TL1')!));
  await expect(gguf.dequantize('t')).rejects.toThrow(/tl1Tiling/);
  for (const tl1Tiling of [
    { tileRows: 96, tileColumns: 64, innerRows: 32 },
    { tileRows: 64, tileColumns: 48, innerRows: 32 },
    { tileRows: 64, tileColumns: 64, innerRows: 16 },
    { tileRows: 0, tileColumns: 64, innerRows: 32 },
  ]) {
    await expect(gguf.dequantize('t', { tl1Tiling })).rejects.toThrow(RangeError);
  }
});

test('a type without a rule, and I2_S that is no whole number of blocks', async () => {
  const i64 = await openGguf(b.file({ tensors: [b.tensor({ dims: [2], type: 27 })], data: b.ramp(16) }));
  await expect(i64.dequantize('t')).rejects.toMatchObject({ code: 'GGUF_CANNOT_DEQUANTIZE' });
  const odd = await openGguf(b.file({ tensors: [b.tensor({ dims: [64], type: 36 })], data: b.ramp(48) }));
  await expect(odd.dequantize('t')).rejects.toMatchObject({ code: 'GGUF_BAD_SHAPE' });
});
