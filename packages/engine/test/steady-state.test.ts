import { setTimeout as wait } from 'node:timers/promises';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { loadModel } from '../src/index.ts';
import { RECORDED, tinyBytes } from './fixtures.ts';
import { readBytes } from './parity.ts';

setFlagsFromString('--expose-gc');
const collectNow = runInNewContext('gc') as () => void;

/** Array buffers are freed by another thread, some time after what held them. */
async function collect(): Promise<void> {
  for (let times = 0; times < 3; times++) {
    collectNow();
    await wait(20);
  }
}

/** Bytes that JavaScript allocated so far, garbage included, and bytes of array buffers that live. */
function allocated(): { readonly heap: number; readonly buffers: number } {
  return {
    heap: (getHeapStatistics() as unknown as { total_allocated_bytes: number }).total_allocated_bytes,
    buffers: process.memoryUsage().arrayBuffers,
  };
}

const TOKENS = 400;
const ROUNDS = 5;

/**
 * What evaluating one token allocates: the average of many, in the rounds with the least and with the most. What V8 allocates
 * for itself, when it compiles for instance, does not come in every round; what a token needs does. A buffer that is freed
 * within a round is not seen in it.
 */
async function bytesPerToken(
  bytes: Uint8Array<ArrayBuffer>,
  contextLength: number,
  withInto: boolean,
): Promise<{ readonly least: number; readonly most: number; readonly layers: number }> {
  using model = await loadModel(bytes);
  using session = model.createSession({ contextLength });
  const into = new Float32Array(model.config.vocabSize);
  const evaluate = async (count: number): Promise<void> => {
    session.reset();
    for (let token = 0; token < count; token++) await session.evaluate([token], withInto ? { into } : {});
  };
  await evaluate(TOKENS); // compiled, and whatever is made once
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await collect();
    const before = allocated();
    await evaluate(TOKENS);
    const after = allocated();
    rounds.push((after.heap - before.heap + Math.max(0, after.buffers - before.buffers)) / TOKENS);
  }
  return { least: Math.min(...rounds), most: Math.max(...rounds), layers: model.config.blockCount };
}

// The storyteller has eight times the vocabulary of the tiny model and more layers. What a token allocates is the
// bookkeeping of its calls: a promise, a generator, for each layer the names of its nodes. Nothing of the size of a row, a
// matrix or a cache.
test(
  'a token allocates nothing that grows with the model but by the count of its layers',
  { timeout: 60_000 },
  async () => {
    const storyteller = readBytes(RECORDED.find(({ name }) => name === 'storyteller')!.model);
    const small = await bytesPerToken(tinyBytes(), 1024, true);
    const large = await bytesPerToken(storyteller, 512, true);
    const bound = (small.least * large.layers) / small.layers;
    expect(large.least).toBeLessThan(bound);
    // The measurement sees a row: without `into` there is one of logits for each token.
    expect((await bytesPerToken(storyteller, 512, false)).most).toBeGreaterThan(bound);
  },
);

test('ten thousand tokens in many sessions leave nothing behind', { timeout: 120_000 }, async () => {
  using model = await loadModel(tinyBytes());
  let tokens = 0;
  const round = async (seed: number): Promise<void> => {
    using session = model.createSession({ contextLength: 128 });
    const options = { maxTokens: 90, seed, temperature: 0.9, topP: 0.9, repetitionPenalty: 1.1, logprobs: 2 };
    for await (const _ of session.generate([seed % 512, 5, 9], options)) tokens += 1;
    using fork = session.fork();
    using restored = model.restoreSession(fork.save());
    for await (const _ of restored.generate([1, 2, 3, seed % 512], { maxTokens: 10 })) tokens += 1;
  };
  for (let seed = 0; seed < 10; seed++) await round(seed);
  await collect();
  const before = { wasm: model.memoryBytes, ...process.memoryUsage() };
  tokens = 0;
  for (let seed = 0; seed < 100; seed++) await round(seed); // of 100 tokens
  await collect();
  expect(tokens).toBe(10_000);
  expect(model.memoryBytes).toBe(before.wasm);
  expect(process.memoryUsage().heapUsed - before.heapUsed).toBeLessThan(500_000);
  expect(process.memoryUsage().arrayBuffers - before.arrayBuffers).toBeLessThan(100_000);
});
