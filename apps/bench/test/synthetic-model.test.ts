import { readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { loadModel } from '@bittern/engine';
import { openGguf } from '@bittern/gguf-parser';
import { expect, test, vi } from 'vitest';
import { modelFile } from '../src/model-file.ts';
import { Random } from '../src/random.ts';
import { SHAPES, syntheticModelBytes, writeSyntheticModel } from '../src/synthetic-model.ts';
import { fakeIo, temporaryFolder } from './support.ts';

const fs = vi.hoisted(() => ({ freeBlocks: undefined as number | undefined }));
vi.mock(import('node:fs/promises'), async (original) => {
  const actual = await original();
  const statfs = async (path: string): Promise<{ bavail: number; bsize: number }> =>
    fs.freeBlocks === undefined ? actual.statfs(path) : { bavail: fs.freeBlocks, bsize: 1 };
  return { ...actual, statfs: statfs as typeof actual.statfs };
});

test('the generator writes the same bytes each time, and those of its version', async () => {
  const folder = await temporaryFolder();
  const first = await writeSyntheticModel(join(folder, 'a.gguf'), SHAPES.tiny);
  const second = await writeSyntheticModel(join(folder, 'b.gguf'), SHAPES.tiny);
  expect(second).toEqual(first);
  // Another digest is another GENERATOR_VERSION.
  expect(first.sha256).toBe('f9145b0a239d0a1828b4b33757dca399bbcab01cbb4948e22eaab85770333441');
  expect((await stat(join(folder, 'a.gguf'))).size).toBe(first.sizeBytes);
  expect(first.sizeBytes).toBeLessThan(syntheticModelBytes(SHAPES.tiny));
});

test('the engine runs it, and the logits are lively', async () => {
  const path = join(await temporaryFolder(), 'tiny.gguf');
  await writeSyntheticModel(path, SHAPES.tiny);
  const gguf = await openGguf(await readFile(path));
  expect(gguf.tensors.size).toBe(1 + 11 * SHAPES.tiny.blockCount + 1);
  const model = await loadModel(gguf);
  try {
    const logits = await model.createSession({ contextLength: 8 }).evaluate([1, 2, 3]);
    expect(logits).toHaveLength(SHAPES.tiny.vocabSize);
    const deviation = Math.sqrt(logits.reduce((sum, logit) => sum + logit * logit, 0) / logits.length);
    expect(deviation > 0.5 && deviation < 10).toBe(true);
  } finally {
    model.dispose();
  }
});

test('42 % of the weights are 0, and no code is 3', async () => {
  const path = join(await temporaryFolder(), 'tiny.gguf');
  await writeSyntheticModel(path, SHAPES.tiny);
  const gguf = await openGguf(await readFile(path));
  const name = 'blk.1.ffn_down.weight';
  const count = gguf.tensors.get(name)!.elementCount;
  const codes = (await gguf.readTensor(name)).subarray(0, count / 4); // without the scale
  const shares = [0, 0, 0, 0];
  for (const byte of codes) for (let bit = 0; bit < 8; bit += 2) shares[(byte >> bit) & 3]! += 1 / count;
  expect(shares).toEqual([expect.closeTo(0.29, 2), expect.closeTo(0.42, 2), expect.closeTo(0.29, 2), 0]);
});

test('a model is written to the cache folder once, and again if it is not whole', async () => {
  const cacheDir = join(await temporaryFolder(), 'not', 'there', 'yet');
  const { io, written } = fakeIo();
  const first = await modelFile({ shape: 'tiny', cacheDir }, io);
  expect(written.stderr).toContain(`to ${first.path}\n`);
  const told = written.stderr;
  expect(await modelFile({ shape: 'tiny', cacheDir }, io)).toEqual(first);
  expect(written.stderr).toBe(told);
  await truncate(first.path, 1000);
  expect(await modelFile({ shape: 'tiny', cacheDir }, io)).toEqual(first);
  expect(written.stderr).toBe(told + told);
});

test('a full disk is told before anything is written', async () => {
  const cacheDir = await temporaryFolder();
  fs.freeBlocks = 1_000_000_000;
  try {
    const writing = modelFile({ shape: '2b4t', cacheDir }, fakeIo().io);
    await expect(writing).rejects.toThrow(/takes \d+ MB, and .* has 1000 MB free.*--cache-dir/);
  } finally {
    fs.freeBlocks = undefined;
  }
});

test('drawing takes the numbers that the generator gives, two entries from each', () => {
  const table = Uint16Array.from({ length: 65_536 }, (_, index) => index);
  const filled = new Uint16Array(5);
  new Random('seed').draw(filled, table);
  const random = new Random('seed');
  const numbers = [random.next(), random.next(), random.next()];
  expect([...filled]).toEqual(numbers.flatMap((number) => [number & 0xffff, number >>> 16]).slice(0, 5));
});
