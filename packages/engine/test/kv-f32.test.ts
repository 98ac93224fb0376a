import { describe, expect, test } from 'vitest';
import { type EvaluationMode, loadModel, type Numerics } from '../src/index.ts';
import { compute, digest, positionsOf, readBytes, readJson } from './parity.ts';
import { VARIANTS } from './variants.ts';

interface Vectors {
  readonly runs: readonly {
    readonly model: string;
    readonly ids: readonly number[];
    readonly numerics: Numerics;
    readonly mode: EvaluationMode;
    readonly rows: readonly string[];
    readonly greedy: readonly number[];
    readonly generated: readonly string[];
  }[];
}

const { runs } = readJson<Vectors>(new URL('vectors/kv-f32.json', import.meta.url));
const bytesOf = (model: string): Uint8Array<ArrayBuffer> => readBytes(new URL(`vectors/${model}`, import.meta.url));

describe.each(VARIANTS)('a cache of f32 is as the oracle computes it, %s kernels', (kernels) => {
  test.each([1, 2])('%i thread(s)', { timeout: 60_000 }, async (threads) => {
    let compared = 0;
    for (const { model: file, ids, numerics, mode, rows, greedy, generated } of runs) {
      using model = await loadModel(bytesOf(file), { numerics, kernels, threads });
      using session = model.createSession({ kvType: 'f32' });
      const computed = await compute(session, ids, mode, greedy.length);
      const positions = positionsOf(mode, ids.length);
      expect({ file, mode, ...computed }).toEqual({ file, mode, positions, rows, greedy, generated });
      compared += rows.length + generated.length;
    }
    expect(compared).toBe(576);
  });
});

test('a session of f32 is forked, saved, restored and rewound as one of f16', async () => {
  using model = await loadModel(bytesOf('gqa-64.gguf'));
  using session = model.createSession({ kvType: 'f32', contextLength: 64 });
  const [{ ids }] = runs as [Vectors['runs'][0]];
  await session.prompt(ids);
  using fork = session.fork();
  using restored = model.restoreSession(session.save());
  expect([fork.kvType, restored.kvType, restored.contextLength]).toEqual(['f32', 'f32', 64]);
  const next = digest(await session.evaluate([7]));
  expect(digest(await fork.evaluate([7]))).toBe(next);
  expect(digest(await restored.evaluate([7]))).toBe(next);
  session.rewind(ids.length);
  expect(digest(await session.evaluate([7]))).toBe(next);
  // Twice the bytes of f16, and other bits
  using half = model.createSession({ contextLength: 64 });
  await half.prompt(ids);
  const cellBytes = 2 * 2 * 64 * 2 * ids.length;
  expect(session.save().length - restored.save().length).toBe(0);
  expect(fork.save().length - half.save().length).toBeGreaterThanOrEqual(cellBytes);
  expect(digest(await half.evaluate([7]))).not.toBe(next);
});

test('an unknown type is refused', async () => {
  using model = await loadModel(bytesOf('gqa-64.gguf'));
  expect(() => model.createSession({ kvType: 'q8_0' as 'f32' })).toThrow('kvType "q8_0" is not one of f16, f32.');
});
