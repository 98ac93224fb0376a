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
 * Bytes that evaluating one token allocates: the average of many, in the round with the least. What V8 allocates for itself, when
 * it compiles for instance, does not come in every round; what a token needs does.
 */
async function allocatedPerToken(
  bytes: Uint8Array<ArrayBuffer>,
  contextLength: number,
  withInto: boolean,
): Promise<{ readonly heap: number; readonly buffers: number; readonly layers: number }> {
  using model = await loadModel(bytes);
  using session = model.createSession({ contextLength });
  const into = new Float32Array(model.config.vocabSize);
  const results: unknown[] = []; // kept, so that no row is freed before it is counted
  const evaluate = async (): Promise<void> => {
    session.reset();
    results.length = 0;
    for (let token = 0; token < TOKENS; token++) {
      results.push(await session.evaluate([token], withInto ? { into } : {}));
    }
  };
  await evaluate(); // compiled, and whatever is made once
  results.length = 0;
  await collect();
  const before = allocated().buffers; // the file's is gone; later, some of a round before may still be there
  let heap = Infinity;
  let buffers = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    results.length = 0;
    await collect();
    const start = allocated().heap;
    await evaluate();
    const end = allocated();
    heap = Math.min(heap, (end.heap - start) / TOKENS);
    buffers = Math.min(buffers, (end.buffers - before) / TOKENS);
  }
  return { heap, buffers, layers: model.config.blockCount };
}

// The storyteller has eight times the vocabulary of the tiny model and more layers. What a token allocates is the
// bookkeeping of its calls: a promise, a generator, for each layer the names of its nodes. Nothing of the size of a row, a
// matrix or a cache.
test(
  'a token allocates nothing that grows with the model but by the count of its layers',
  { timeout: 60_000 },
  async () => {
    const storyteller = readBytes(RECORDED.find(({ name }) => name === 'storyteller')!.model);
    const small = await allocatedPerToken(tinyBytes(), 1024, true);
    const large = await allocatedPerToken(storyteller, 512, true);
    const rowBytes = 4 * 4096;
    expect(large.heap).toBeLessThan((small.heap * large.layers) / small.layers);
    expect(large.buffers).toBeLessThan(rowBytes / 4);
    // The measurement sees a row: without `into` there is one of logits for each token.
    expect((await allocatedPerToken(storyteller, 512, false)).buffers).toBeGreaterThan(0.9 * rowBytes);
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
