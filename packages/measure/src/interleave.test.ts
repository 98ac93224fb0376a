import { expect, test } from 'vitest';
import { interleave, type Turn } from './interleave.ts';

function recorder(log: string[]): (name: string) => Turn {
  return (name) => ({ take: (warmup) => void log.push(`${name}${warmup ? ' to warm up' : ''}`) });
}

test('things are measured in turn, after the warm-up', async () => {
  const log: string[] = [];
  const rounds: string[] = [];
  await interleave(['a', 'b'].map(recorder(log)), {
    repeats: 2,
    warmup: 1,
    signal: new AbortController().signal,
    onRound: (round, count) => rounds.push(`${round}/${count}`),
  });
  expect(log).toEqual(['a to warm up', 'b to warm up', 'a', 'b', 'a', 'b']);
  expect(rounds).toEqual(['0/3', '1/3', '2/3']);
});

test('an abort ends it before the next sample', async () => {
  const controller = new AbortController();
  const log: string[] = [];
  const turns = [{ take: () => controller.abort() }, recorder(log)('b')];
  await expect(interleave(turns, { repeats: 1, warmup: 0, signal: controller.signal })).rejects.toThrow('abort');
  expect(log).toEqual([]);
});
