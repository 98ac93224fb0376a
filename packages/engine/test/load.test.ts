import { openGguf, sourceFromBytes } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { describe, expect, test } from 'vitest';
import {
  I2S_LAYOUTS,
  loadModel,
  type LoadModelOptions,
  type LoadProgress,
  NUMERICS,
  TL1_KERNELS,
} from '../src/index.ts';
import { TINY, tinyBytes } from './fixtures.ts';
import { digest } from './parity.ts';
import { VARIANTS } from './variants.ts';

const bytes = tinyBytes();
const IDS = [502, 311, 480, 305];

async function lastRow(source: Parameters<typeof loadModel>[0], options?: LoadModelOptions): Promise<string> {
  using model = await loadModel(source, options);
  return digest(await model.createSession().evaluate(IDS));
}

describe('loadModel', () => {
  test('takes bytes, a source, a file on disk and an opened file', async () => {
    const expected = await lastRow(bytes);
    await using file = await openFile(TINY.model.pathname);
    expect(await lastRow(bytes.buffer)).toBe(expected);
    expect(await lastRow(sourceFromBytes(bytes))).toBe(expected);
    expect(await lastRow(file)).toBe(expected);
    expect(await lastRow(await openGguf(bytes))).toBe(expected);
  });

  test('reads the hyperparameters from the file', async () => {
    using model = await loadModel(bytes);
    expect(model.config).toEqual({
      architecture: 'bitnet-b1.58',
      graph: 'bitnet',
      activation: 'relu-squared',
      vocabSize: 512,
      contextLength: 1024,
      embeddingLength: 256,
      blockCount: 4,
      feedForwardLength: 768,
      headCount: 4,
      headCountKv: 2,
      headDim: 64,
      layerNormRmsEpsilon: Math.fround(1e-5),
      ropeFreqBase: 500_000,
    });
  });

  test('defaults to avx512, 128x32 and the first kernels that are exact here', async () => {
    using model = await loadModel(bytes);
    expect(model.numerics).toBe('avx512');
    expect(model.kernelVariant).toBe(VARIANTS[0]);
    expect(await lastRow(bytes)).toBe(await lastRow(bytes, { numerics: 'avx512', i2sLayout: '128x32' }));
  });

  test('the two numerics differ', async () => {
    expect(NUMERICS).toEqual(['avx2', 'avx512']);
    expect(await lastRow(bytes, { numerics: 'avx2' })).not.toBe(await lastRow(bytes, { numerics: 'avx512' }));
  });

  test('a file without TL1 weights has no TL1 kernel, whatever was asked for', async () => {
    using model = await loadModel(bytes, { tl1Kernel: 'lut', tl1Tiling: { '1x1': [32, 8, 32] } });
    expect(model.tl1Kernel).toBeUndefined();
  });

  test('refuses unknown numerics, layouts and TL1 kernels', async () => {
    expect(I2S_LAYOUTS).toEqual(['128x32', '64x16']);
    await expect(loadModel(bytes, { numerics: 'neon' as 'avx2' })).rejects.toThrow(RangeError);
    await expect(loadModel(bytes, { i2sLayout: '256x64' as '64x16' })).rejects.toThrow(RangeError);
    expect(TL1_KERNELS).toEqual(['transcode', 'lut']);
    await expect(loadModel(bytes, { tl1Kernel: 'table' as 'lut' })).rejects.toThrow(RangeError);
  });

  test('reports progress up to the whole', async () => {
    const reports: LoadProgress[] = [];
    using model = await loadModel(bytes, { onProgress: (progress) => reports.push(progress) });
    const total = [...model.gguf.tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    expect(reports.length).toBeGreaterThanOrEqual(model.gguf.tensors.size);
    expect(reports.map(({ loadedBytes }) => loadedBytes)).toEqual(
      reports.map(({ loadedBytes }) => loadedBytes).toSorted((a, b) => a - b),
    );
    expect(reports.every(({ totalBytes }) => totalBytes === total)).toBe(true);
    expect(reports.at(-1)).toEqual({ loadedBytes: total, totalBytes: total });
  });

  test('an abort rejects with the reason, before and while loading', async () => {
    const reason = new Error('changed my mind');
    await expect(loadModel(bytes, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    let reports = 0;
    const read = async (offset: number, length: number): Promise<Uint8Array> => bytes.slice(offset, offset + length);
    const deaf = { name: 'a source that ignores the signal', sizeBytes: bytes.length, read };
    const loading = loadModel(deaf, {
      signal: controller.signal,
      onProgress() {
        reports += 1;
        if (reports === 3) controller.abort(reason);
      },
    });
    await expect(loading).rejects.toBe(reason);
    expect(reports).toBe(3);
  });
});
