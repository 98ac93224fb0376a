import { expect, test } from 'vitest';
import * as b from '../test/builder.ts';
import { i2sHistogram } from './i2s-histogram.ts';
import { openGguf } from './open.ts';
import { tensorStatistics } from './statistics.ts';

async function statisticsOf(values: readonly number[]): ReturnType<typeof tensorStatistics> {
  const data = new Uint8Array(Float32Array.from(values).buffer);
  const gguf = await openGguf(b.file({ tensors: [b.tensor({ dims: [values.length] })], data }));
  return tensorStatistics(gguf, 't', { chunkBytes: 8 });
}

test('of finite numbers', async () => {
  expect(await statisticsOf([3, -4, 0, -0, 1])).toEqual({
    count: 5,
    zeros: 2,
    nan: 0,
    inf: 0,
    rms: Math.sqrt(26 / 5),
    mean: 0,
    min: -4,
    max: 3,
  });
});

test('NaN and infinities are counted, and left out of the rest', async () => {
  const statistics = await statisticsOf([1, Number.NaN, Infinity, 3, -Infinity]);
  expect(statistics).toMatchObject({ count: 5, nan: 1, inf: 2, mean: 2, min: 1, max: 3, rms: Math.sqrt(5) });
});

test('of no finite number there is no mean: NaN, which no gate lets pass', async () => {
  const statistics = await statisticsOf([Number.NaN]);
  expect(statistics).toMatchObject({ count: 1, nan: 1, rms: Number.NaN, mean: Number.NaN, min: Number.NaN });
});

test('the scale of a ternary tensor, and its codes', async () => {
  const payload = Uint8Array.from({ length: 32 }, (_, index) => (index === 0 ? 0b11_10_01_00 : 0b01_01_01_01));
  const trailer = b.concat(b.f32(0.25), new Uint8Array(28).fill(0xff));
  const gguf = await openGguf(
    b.file({
      tensors: [b.tensor({ dims: [128], type: 36 }), b.tensor({ name: 'norm', dims: [1], offset: 64 })],
      data: b.concat(payload, trailer, b.f32(1)),
    }),
  );
  expect(await gguf.readScale('t')).toBe(0.25);
  expect(await gguf.readScale('norm')).toBeUndefined();
  for (const chunkBytes of [1, 5, 1_000]) {
    expect(await i2sHistogram(gguf, 't', { chunkBytes })).toEqual([1, 125, 1, 1]);
  }
  await expect(i2sHistogram(gguf, 'norm')).rejects.toThrow(TypeError);
  await expect(i2sHistogram(gguf, 'none')).rejects.toThrow(RangeError);
});
