import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SHAPES, writeSyntheticModel } from '../src/synthetic-model.ts';
import type { BenchDocument, ResultRow } from '../src/report.ts';
import { bench } from './support.ts';

let folder: string;
let cache: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bittern-bench-'));
  cache = ['--cache-dir', folder];
});

afterAll(() => rm(folder, { recursive: true }));

const QUICK = ['--repeats', '1', '--warmup', '0', '--json'];
const MACHINE = ['--threads', '1,2', '--buffer', '1'];
const TINY = ['--shape', 'tiny'];

const SUMMARY = {
  samples: expect.any(Array),
  median: expect.any(Number),
  p10: expect.any(Number),
  p90: expect.any(Number),
};

async function run(argv: readonly string[]): Promise<BenchDocument> {
  const { code, stdout, stderr } = await bench([...argv, ...QUICK]);
  expect({ code, stderr: stderr.replace(/^bittern-bench: writing .*\n/, '') }).toEqual({ code: 0, stderr: '' });
  const document = JSON.parse(stdout) as BenchDocument;
  expect(document.command).toBe(argv[0]);
  expect(document.environment).toMatchObject({ cores: expect.any(Number), node: process.version });
  for (const row of document.results) {
    expect(row.durationMs).toEqual(SUMMARY);
    expect(row.durationMs.median).toBeGreaterThan(0);
  }
  return document;
}

function expectLimits({ limits, noise }: BenchDocument): void {
  expect(noise).toBe(0); // of one sample
  expect(limits.map(({ threads }) => threads)).toEqual([1, 2]);
  for (const row of limits) {
    expect(row).toMatchObject({ bufferBytes: 2 ** 20, readMs: SUMMARY, readPagesMs: SUMMARY, int8Ms: SUMMARY });
    expect(row.readGigabytesPerSecond).toBeGreaterThan(0);
    expect(row.readPagesGigabytesPerSecond).toBeGreaterThan(0);
    expect(row.int8Gops).toBeGreaterThan(0);
  }
}

test('limits', async () => {
  const document = await run(['limits', ...MACHINE]);
  expectLimits(document);
  expect(document.results).toEqual([]);
});

test('kernels: all that the engine calls, by threads', async () => {
  const document = await run(['kernels', ...TINY, ...MACHINE, '--tokens', '4']);
  expectLimits(document);
  const names = new Set(document.results.map(({ name }) => name));
  for (const name of [
    'i2sGemv',
    'i2sGemm',
    'tl1Gemv',
    'screenRows',
    'refineRows',
    'selectLargest',
    'selectCandidates',
    'f16Gemv',
    'f16Gemm',
    'attention',
    'quantizeRows',
    'rmsNorm',
    'ropeNeox',
  ]) {
    expect(names).toContain(name);
  }
  expect(new Set(document.results.map(({ threads }) => threads))).toEqual(new Set([1, 2]));
  for (const row of document.results) expect(row.gigabytesPerSecond).toBeGreaterThan(0);
  const gemv = document.results.find(({ detail }) => detail === '768x256 stream')!;
  expect(gemv).toMatchObject({ bytesPerCall: (768 * 256) / 4 + 256 + 4 * 768, operationsPerCall: 2 * 768 * 256 });
  expect(gemv).toMatchObject({ limit: 'read', fractionOfLimit: expect.any(Number), gops: expect.any(Number) });
  for (const { name, counters } of document.results) {
    expect({ name, ids: counters!.length }).toEqual({ name, ids: 1 });
    expect(counters![0]!.calls).toBeGreaterThan(0);
  }
  expect(gemv.counters![0]!.id).toMatch(/^i2s_gemv_/);
});

test('kernels --only', async () => {
  const document = await run(['kernels', ...TINY, ...MACHINE, '--only', 'Gemm', '--kernels', 'simd128']);
  expect(new Set(document.results.map(({ name }) => name))).toEqual(new Set(['i2sGemm', 'f16Gemm']));
  expect(document.settings['kernels']).toBe('simd128');
});

test('decode: every step is a sample, bytes are weights and cache', async () => {
  const document = await run(['decode', ...TINY, ...cache, ...MACHINE, '--prompt', '5', '--steps', '3']);
  expectLimits(document);
  expect(document.results).toHaveLength(2);
  for (const row of document.results) {
    expect(row.durationMs.samples).toHaveLength(3);
    expect(row).toMatchObject({ name: 'decode', limit: 'read', fractionOfLimit: expect.any(Number) });
    expect(row.tokensPerSecond).toBeCloseTo(1000 / row.durationMs.median, 6);
    const { embeddingLength: width, feedForwardLength: inner, vocabSize, blockCount } = SHAPES.tiny;
    const matrices = (2 * width * width + width * width + 3 * width * inner) / 4 + 7 * 32;
    const norms = 4 * (3 * width + inner);
    const cached = 2 * 2 * (width / 2) * (5 + 3 / 2 + 1);
    expect(row.bytesPerCall).toBe(2 * vocabSize * width + blockCount * (matrices + norms + cached) + 4 * width);
  }
});

test('decode --head, --timing: in turn, with the same ids and what kernels counted', async () => {
  const argv = ['decode', ...TINY, ...cache, '--threads', '2', '--buffer', '1', '--prompt', '5', '--steps', '3'];
  const { results } = await run([...argv, '--head', 'exact,screened', '--timing', 'off,on']);
  expect(results.map(({ detail }) => detail)).toEqual([
    'after 5 tokens',
    'after 5 tokens, timing kernels',
    'after 5 tokens, screened head',
    'after 5 tokens, screened head, timing kernels',
  ]);
  const { embeddingLength: width, vocabSize, blockCount } = SHAPES.tiny;
  const [exact, timed, screened] = results as [ResultRow, ResultRow, ResultRow];
  expect(exact.bytesPerCall! - screened.bytesPerCall!).toBe(vocabSize * (2 * width - 96 * Math.ceil(width / 128) - 8));
  const callsOf = (row: ResultRow, prefix: string): number | undefined =>
    row.counters!.find(({ id }) => id.startsWith(prefix))?.calls;
  expect(callsOf(exact, 'i2s_gemv')).toBe(3 * 7 * blockCount);
  expect(callsOf(exact, 'f16_gemv')).toBe(3);
  expect(callsOf(screened, 'f16_gemv')).toBeUndefined();
  expect(callsOf(screened, 'f16_head_screened')).toBe(3);
  for (const { nanoseconds } of exact.counters!) expect(nanoseconds).toBe(0);
  for (const { nanoseconds } of timed.counters!) expect(nanoseconds).toBeGreaterThan(0);
});

test('prefill: the whole, and its ternary products alone', async () => {
  const document = await run(['prefill', ...TINY, ...cache, ...MACHINE, '--tokens', '4,9']);
  expectLimits(document);
  expect(document.results.map(({ name, detail, threads }) => [name, detail, threads])).toEqual([
    ['prefill', '4 tokens', 1],
    ['prefill', '9 tokens', 1],
    ['prefill', '4 tokens', 2],
    ['prefill', '9 tokens', 2],
    ['ternary GEMM', '4 tokens, one layer', 1],
    ['ternary GEMM', '9 tokens, one layer', 1],
    ['ternary GEMM', '4 tokens, one layer', 2],
    ['ternary GEMM', '9 tokens, one layer', 2],
  ]);
  for (const row of document.results) {
    expect(row).toMatchObject({ limit: 'int8', gops: expect.any(Number), fractionOfLimit: expect.any(Number) });
  }
  const { embeddingLength: width, feedForwardLength: inner } = SHAPES.tiny;
  const attention = 2 * (2 * width * width + width * width);
  const ffn = 2 * 3 * width * inner;
  expect(document.results[0]!.operationsPerCall).toBe(4 * (attention + ffn) + 4 * attention + ffn);
  expect(document.results[4]!.operationsPerCall).toBe(4 * (attention + ffn));
});

test('load: seconds and peak memory of a process of its own', async () => {
  const path = join(folder, 'file.gguf');
  const { sizeBytes } = await writeSyntheticModel(path, SHAPES.tiny);
  const document = await run(['load', '--shape', path, ...MACHINE]);
  expectLimits(document);
  expect(document.settings).toMatchObject({ file: path, fileBytes: sizeBytes });
  for (const row of document.results) {
    expect(row).toMatchObject({ name: 'load', bytesPerCall: sizeBytes, peakMemoryBytes: SUMMARY });
    expect(row.peakMemoryBytes!.median).toBeGreaterThan(sizeBytes);
  }
});

test('gguf: both engines open the file', async () => {
  const { settings, results } = await run(['gguf', ...TINY, ...cache]);
  expect(settings['tensors']).toBe(24);
  expect(results.map(({ name, detail }) => `${name} ${detail}`)).toEqual([
    '@bittern/gguf-parser open',
    '@huggingface/gguf open',
    '@bittern/gguf-parser open, all values',
    '@huggingface/gguf open, all values',
  ]);
  for (const row of results) expect(row).toMatchObject({ peakMemoryBytes: SUMMARY, addedMemoryBytes: SUMMARY });
});

test('tokenizer: all libraries give the same ids', async () => {
  const { settings, results } = await run(['tokenizer', '--size', '8']);
  expect(settings['ids']).toEqual(['english same', 'multilingual same', 'code same']);
  const engines = ['@bittern/tokenizer', 'tokenizers', 'tiktoken'];
  const details = ['load', 'english', 'english, again', 'multilingual', 'multilingual, again', 'code', 'code, again'];
  expect(results.map(({ name, detail }) => `${name} ${detail}`)).toEqual(
    details.flatMap((detail) => engines.map((engine) => `${engine} ${detail}`)),
  );
  for (const row of results.slice(3)) {
    expect(row.tokensPerCall).toBeGreaterThan(0);
    expect(row.bytesPerCall).toBeGreaterThanOrEqual(8 * 1024);
    expect(row.tokensPerSecond).toBeGreaterThan(0);
  }
});

describe('text', () => {
  test('has the limits, the result and its share of a limit', async () => {
    const argv = [
      'decode',
      ...TINY,
      ...cache,
      ...MACHINE,
      '--steps',
      '1',
      ...QUICK.filter((word) => word !== '--json'),
    ];
    const { code, stdout } = await bench(argv);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^decode: shape tiny, file .*tiny-v1\.gguf, model [0-9a-f]{12}, threads 1,2, /);
    expect(stdout).toMatch(/\nmemory read +2 +[\d.]+ GB\/s +/);
    expect(stdout).toMatch(/\nmemory read, 8 pages at once +2 +[\d.]+ GB\/s +/);
    expect(stdout).toContain('They vary by 0 %');
    expect(stdout).toMatch(/\ndecode +after 128 tokens +2 .* [\d.]+ read\n/);
  });
});

test('overhead: the same ids without counting, in rounds of all', async () => {
  const argv = ['overhead', ...TINY, ...cache, '--threads', '1', '--buffer', '1', '--prompt', '4', '--steps', '2'];
  const { code, stdout } = await bench([...argv, '--repeats', '8', '--warmup', '1', '--most', '1000000', '--json']);
  expect(code).toBe(0);
  const { results, ratios } = JSON.parse(stdout) as BenchDocument;
  expect(results.map(({ detail, counters }) => [detail, counters !== undefined])).toEqual([
    ['after 4 tokens, not counting', false],
    ['after 4 tokens, counting', true],
    ['after 4 tokens, counting and timing', true],
  ]);
  const figures = { ratio: expect.any(Number), low: expect.any(Number), high: expect.any(Number) };
  expect(ratios).toEqual([
    { name: 'counters', ...figures },
    { name: 'counters and receipt', ...figures },
  ]);
  const few = await bench([...argv, '--repeats', '2', '--warmup', '0', '--most', '1000000']);
  expect(few).toMatchObject({ code: 1, stderr: expect.stringContaining('it was not shown') });
});
