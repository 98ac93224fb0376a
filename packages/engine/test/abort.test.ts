import { expect, test } from 'vitest';
import { loadModel } from '../src/index.ts';
import { tinyBytes } from './fixtures.ts';
import { digest } from './parity.ts';

// Between two tokens a signal is looked at every time. Within a prompt it is after each part of a layer: the longest, the
// attention of a micro-batch, is a small share of the whole.

const LONG = Array.from({ length: 1000 }, (_, index) => (index * 37 + 11) % 512);

test.each([1, 2])('an abort while a prompt is evaluated, %i thread(s)', { timeout: 60_000 }, async (threads) => {
  using model = await loadModel(tinyBytes(), { threads });
  using session = model.createSession();
  await session.evaluate([1, 2, 3]);
  const saved = session.save();
  // The first ones are slower: their kernels are still being compiled.
  const wholeMs: number[] = [];
  for (let repeat = 0; repeat < 5; repeat++) {
    const start = performance.now();
    await session.evaluate(LONG);
    wholeMs.push(performance.now() - start);
    session.rewind(3);
  }

  const latencies: number[] = [];
  for (const after of [0.05, 0.1, 0.15, 0.2, 0.25]) {
    const controller = new AbortController();
    const reason = new Error('enough');
    const afterMs = after * Math.min(...wholeMs);
    const wantedAt = performance.now() + afterMs; // the event loop may come to it later: that counts
    setTimeout(() => controller.abort(reason), afterMs);
    await expect(session.evaluate(LONG, { signal: controller.signal })).rejects.toBe(reason);
    latencies.push(performance.now() - wantedAt);
    expect(session.save()).toEqual(saved); // as it was before the call
  }
  // A micro-batch is half of the whole: it stopped within one.
  expect(latencies.toSorted((a, b) => a - b)[2]!).toBeLessThan(Math.min(...wholeMs) / 8);
  const row = digest(await session.evaluate([4, 5]));
  using fresh = model.createSession();
  await fresh.evaluate([1, 2, 3]);
  expect(row).toBe(digest(await fresh.evaluate([4, 5])));
});

test('an abort between two tokens: the next one is not begun', async () => {
  using model = await loadModel(tinyBytes());
  using session = model.createSession();
  const controller = new AbortController();
  let count = 0;
  let countAtAbort = 0;
  setTimeout(() => {
    countAtAbort = count;
    controller.abort();
  }, 20);
  const running = async (): Promise<void> => {
    for await (const _ of session.generate([1, 2, 3], { signal: controller.signal })) count += 1;
  };
  await expect(running()).rejects.toMatchObject({ name: 'AbortError' });
  expect(countAtAbort).toBeGreaterThan(0);
  expect(count).toBe(countAtAbort);
});
