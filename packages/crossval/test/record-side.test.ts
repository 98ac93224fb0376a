import { expect, test } from 'vitest';
import { runLadder } from '../src/ladder/run-ladder.ts';
import { openRecording } from '../src/recording.ts';
import { recordSide } from '../src/record-side.ts';
import type { Side } from '../src/side.ts';
import { fakeSide, TOY_CASES } from './fake-side.ts';

/** The toy model, as a side that says what a recording must say. */
function toySide(): Side {
  const side = fakeSide();
  return {
    ...side,
    identity: { ...side.identity, build: 'toy build', numerics: 'avx2' },
    trace: (ids, { onTap, ...options }) =>
      side.trace(ids, { ...options, onTap: (tap) => onTap({ ...tap, op: 'MUL' }) }),
  };
}

const options = { id: 'avx2', cases: TOY_CASES, context: 'toy context' };

test('a recorded side passes every rung against itself, to the bit', async () => {
  for (const traceValues of [false, true]) {
    const files = await recordSide({ ...options, side: toySide(), traceValues });
    const recording = await openRecording(async (file) => (file === 'recording.json' ? files.json : files.values));
    expect(recording.references).toMatchObject([{ id: 'avx2', build: 'toy build', numerics: 'avx2' }]);
    expect(recording.context).toBe('toy context');
    const cases = recording.cases('avx2');
    expect(cases.map(({ text, ids, mode, trace }) => [text, ids, mode, trace])).toEqual(
      TOY_CASES.map(({ text, ids, mode, trace }) => [text, ids, mode, trace]),
    );
    const report = await runLadder({ ours: toySide(), reference: recording.side('avx2'), cases, exact: true });
    expect(report.verdict).toBe('pass');
    expect(report.counts.rowsByDigest).toBe(0);
    expect(report.counts.tapsByDigest > 0).toBe(!traceValues);
  }
});

test('the same side gives the same bytes', async () => {
  const [one, two] = [
    await recordSide({ ...options, side: toySide() }),
    await recordSide({ ...options, side: toySide() }),
  ];
  expect(one).toEqual(two);
});

test.each<[string, Partial<Side>]>([
  ['rows without values', { evaluate: async (_, { onLogits }) => onLogits({ position: 0, sha256: 'a'.repeat(64) }) }],
  [
    'taps without values',
    { trace: async (_, { onTap }) => onTap({ name: 'x', occurrence: 0, step: 0, shape: [1], op: 'ADD' }) },
  ],
  ['no numerics', { identity: { ...toySide().identity, numerics: undefined } as unknown as Side['identity'] }],
])('%s are refused', async (_, change) => {
  const error = { code: 'CROSSVAL_NOT_RECORDED' };
  await expect(recordSide({ ...options, side: { ...toySide(), ...change } })).rejects.toMatchObject(error);
});

test('a side that gives a row too few makes no recording', async () => {
  const side = toySide();
  const short: Side = {
    ...side,
    evaluate: (ids, { onLogits, ...rest }) =>
      side.evaluate(ids, { ...rest, onLogits: (row) => row.position > 0 && onLogits(row) }),
  };
  await expect(recordSide({ ...options, side: short })).rejects.toMatchObject({ code: 'CROSSVAL_BAD_RECORDING' });
});

test('an abort ends it', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(recordSide({ ...options, side: toySide(), signal })).rejects.toThrow('enough');
});
