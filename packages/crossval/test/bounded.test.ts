import { expect, test } from 'vitest';
import { runLadder } from '../src/ladder/run-ladder.ts';
import type { Side } from '../src/side.ts';
import { MODEL } from './fake-side.ts';

// The shape of the 2B4T model.
const POSITIONS = 500;
const VOCABULARY = 128_256;
const MEGABYTE = 2 ** 20;

/** A side that gives all its rows at once, as an engine does within a micro-batch, from one buffer. */
function bigSide(onRow: () => void, noise: number): Side {
  const row = new Float32Array(VOCABULARY);
  return {
    identity: { name: 'big', version: '1', model: MODEL },
    tokenize: async () => [],
    async evaluate(ids, { onLogits }) {
      for (const position of ids.keys()) {
        // Cheap, and another row at each position.
        for (let id = 0; id < VOCABULARY; id++) row[id] = ((id * 7919 + position * 104_729) % 1009) / 100 + noise;
        onLogits({ position, values: row });
        onRow();
      }
    },
    decode: async () => [],
    async trace() {},
  };
}

test('500 rows of 128,256 logits are compared within 300 MB', { timeout: 120_000 }, async () => {
  let peak = 0;
  const before = process.memoryUsage().arrayBuffers;
  const measure = (): void => {
    peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
  };
  const ids = Array.from({ length: POSITIONS }, (_, index) => index);
  const report = await runLadder({
    ours: bigSide(measure, 1e-7),
    reference: bigSide(measure, 0),
    cases: [{ id: 'long', text: '', parseSpecial: false, ids, mode: 'batch-all', greedyCount: 1, trace: false }],
    rungs: ['positions'],
  });
  expect(report).toMatchObject({
    verdict: 'pass',
    counts: { rowsByValue: POSITIONS, rowValues: POSITIONS * VOCABULARY },
  });
  expect(peak / MEGABYTE).toBeGreaterThan(1); // it was measured
  expect(peak / MEGABYTE).toBeLessThanOrEqual(300);
});
