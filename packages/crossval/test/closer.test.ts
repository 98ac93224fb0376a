import { describe, expect, test } from 'vitest';
import { bisect } from '../src/bisect.ts';
import { compareRowStreams } from '../src/ladder/compare-row-streams.ts';
import { locate } from '../src/ladder/locate.ts';
import { runLadder } from '../src/ladder/run-ladder.ts';
import { calibrated, measureNoise } from '../src/noise.ts';
import { compareOperations } from '../src/operations.ts';
import { openRecording } from '../src/recording.ts';
import type { Side } from '../src/side.ts';
import { parseThresholds, PLAYBOOK_THRESHOLDS } from '../src/thresholds.ts';
import { captureTrace } from '../src/trace/capture.ts';
import { type Changes, fakeSide, flipBit, logitsOf, TOY_CASES, tokenizeToy, toyCase } from './fake-side.ts';
import { reader, recordToy } from './toy-recording.ts';

const IDS = tokenizeToy('upon a time');
const CASE = toyCase('a', 'upon a time', 'batch-all');

/** A side whose rows are wrong from one position on. */
const wrongFrom = (first: number): Side =>
  fakeSide({
    rows: (rows) => rows.map((row) => (row.position >= first ? { ...row, values: flipBit(row.values!, 0) } : row)),
  });

describe('bisect', () => {
  test.each([0, 1, 5, IDS.length - 1])('finds the shortest prefix whose row at %i differs', async (first) => {
    const found = await bisect(wrongFrom(first), fakeSide(), IDS, { mode: 'batch-all', limits: { differing: 0 } });
    expect(found).toMatchObject({ length: first + 1, position: first, token: IDS[first], promptLength: IDS.length });
    // Proven on both sides of the border, with few evaluations.
    expect(found!.tried).toContainEqual({ length: first + 1, diverges: true });
    expect([...found!.tried, { length: 0, diverges: false }]).toContainEqual({ length: first, diverges: false });
    expect(found!.tried.length).toBeLessThanOrEqual(2 + Math.ceil(Math.log2(IDS.length)));
  });

  test('no divergence is none, and what cannot be compared is an error', async () => {
    const options = { mode: 'batch-all', limits: { differing: 0 } } as const;
    expect(await bisect(fakeSide(), fakeSide(), IDS, options)).toBeUndefined();
    await expect(bisect(fakeSide(), fakeSide(), [], options)).rejects.toMatchObject({ code: 'CROSSVAL_EMPTY' });
    const recorded = (await openRecording(reader(await recordToy()))).side('avx512');
    await expect(bisect(wrongFrom(3), recorded, IDS, options)).rejects.toMatchObject({
      code: 'CROSSVAL_NOT_COMPARABLE',
    });
    await expect(bisect(fakeSide({ rows: () => [] }), fakeSide(), IDS, options)).rejects.toMatchObject({
      code: 'CROSSVAL_NOT_COMPARABLE',
    });
  });
});

describe('noise', () => {
  const noisy = fakeSide({
    rows: (rows) =>
      rows.map((row) => ({ ...row, values: row.values!.map((value, id) => value + (id === 3 ? 0.01 : 0)) })),
  });

  test('is the worst of each metric, first logits apart, and loosens limits', async () => {
    const variants = [
      { name: 'one', side: fakeSide(), mode: 'batch-all' },
      { name: 'two', side: noisy, mode: 'sequential' },
    ] as const;
    const noise = await measureNoise(variants, [CASE]);
    expect(noise).toMatchObject([{ what: 'one against two', rows: IDS.length }]);
    expect(noise[0]!.positions.maxAbs).toBeCloseTo(0.01, 5);
    expect(noise[0]!.firstLogit.maxAbs).toBeCloseTo(0.01, 5);
    const limits = calibrated(PLAYBOOK_THRESHOLDS, noise);
    expect(limits.positions.maxAbs).toBe(noise[0]!.positions.maxAbs);
    expect(limits.positions.top5).toBe(Math.min(0.95, noise[0]!.positions.top5!));
    const report = await runLadder({ ours: noisy, reference: fakeSide(), cases: [CASE], thresholds: limits, noise });
    expect(report).toMatchObject({ verdict: 'pass', noise: [{ what: 'one against two' }] });
  });

  test('of nothing is an error', async () => {
    await expect(measureNoise([{ name: 'one', side: fakeSide(), mode: 'batch-all' }], [CASE])).rejects.toMatchObject({
      code: 'CROSSVAL_EMPTY',
    });
  });
});

describe('thresholds from a file', () => {
  test.each([
    ['not JSON', '{', 'is not JSON'],
    ['another version', '{"version":2,"firstLogit":{"kl":1},"positions":{"kl":1}}', 'version is not 1'],
    ['an unknown metric', '{"version":1,"firstLogit":{"kld":1},"positions":{"kl":1}}', 'firstLogit.kld is no metric'],
    ['no limit', '{"version":1,"firstLogit":{"kl":1},"positions":{}}', 'positions has no limit'],
    [
      'a limit that is none',
      '{"version":1,"firstLogit":{"kl":null},"positions":{"kl":1}}',
      'firstLogit.kl is not a number',
    ],
    ['a missing rung', '{"version":1,"firstLogit":{"kl":1}}', 'lacks "positions"'],
  ])('refuses %s', (_, json, message) => {
    expect(() => parseThresholds(json, 'limits.json')).toThrow(
      expect.objectContaining({ code: 'CROSSVAL_BAD_THRESHOLDS' }),
    );
    expect(() => parseThresholds(json, 'limits.json')).toThrow(message);
  });
});

describe('teacher forcing', () => {
  /** A side that adds what is fed to the operation before, or else its own, to a constant: one operation is broken. */
  function feeding(broken: readonly number[]): Side {
    const side = fakeSide();
    return {
      ...side,
      async replay(ids, { mode, onTap, feed }) {
        const taps = await captureTrace(side, ids, { mode });
        let drift = 0;
        for (const [index, tap] of taps.taps.entries()) {
          const own = (await taps.values(tap))!;
          if (broken.includes(index)) drift += 1;
          const data = own.map((value) => value + drift);
          onTap({ ...tap, data });
          // Only a fed operation hides what came before.
          if (feed(tap) !== undefined) drift = 0;
        }
      },
    };
  }

  test('one broken operation does not hide the next', async () => {
    const reference = await captureTrace(fakeSide(), IDS, { mode: 'batch-all' });
    const table = await compareOperations(feeding([1, 5]), reference);
    expect(table).toMatchObject({ compared: 6, without: 0 });
    expect(table.inexact.map(({ name, index, fed }) => [name, index, fed])).toEqual([
      ['norm-0', 1, true],
      ['result_output', 5, true],
    ]);
    expect(table.kinds.find(({ kind }) => kind === 'embedding')).toMatchObject({ compared: 1, exact: 1, maxUlp: 0 });
  });

  test('needs values, and a side that can be fed', async () => {
    const reference = await captureTrace(fakeSide(), IDS, { mode: 'batch-all' });
    await expect(compareOperations(fakeSide(), reference)).rejects.toMatchObject({ code: 'CROSSVAL_NOT_COMPARABLE' });
    const digests = { ...reference, values: async () => undefined };
    await expect(compareOperations(feeding([]), digests)).rejects.toMatchObject({ code: 'CROSSVAL_TRACE_EMPTY' });
  });
});

describe('where', () => {
  const broken: Changes = {
    taps: (taps) => taps.map((tap, index) => (index >= 4 ? { ...tap, data: flipBit(tap.data!, 0) } : tap)),
  };
  const candidate = { ladderCase: CASE, mode: 'batch-all', ids: IDS } as const;

  test('is found in windows as well as at once', async () => {
    for (const budgetBytes of [1, 4 * 16 * IDS.length * 2, 2 ** 30]) {
      const { located } = await locate(fakeSide(broken), fakeSide(), [candidate], { budgetBytes });
      expect(located?.diff.first).toMatchObject({ name: 'norm-0', occurrence: 1, index: 4 });
      const same = await locate(fakeSide(), fakeSide(), [candidate], { budgetBytes });
      expect(same.located?.diff.first).toBeNull();
    }
  });

  test('what could not be traced is said', async () => {
    const failing: Side = { ...fakeSide(), trace: () => Promise.reject(new Error('no trace here')) };
    const { located, notes } = await locate(failing, fakeSide(), [candidate]);
    expect(located).toBeUndefined();
    expect(notes).toEqual(['The trace of 12 ids of a in mode batch-all could not be compared: no trace here']);
  });

  test('a failure of tolerances is looked into, one of nothing is not', async () => {
    const report = await runLadder({
      ours: fakeSide({ identity: { name: '' } }),
      reference: fakeSide(),
      cases: TOY_CASES,
    });
    expect(report).toMatchObject({ verdict: 'fail', where: null, why: [], whereNotes: [] });
  });
});

describe('row streams', () => {
  test('sides that run one ahead of the other, in any order, are compared alike', async () => {
    const rows = IDS.map((_, position) => ({ position, values: logitsOf(IDS.slice(0, position + 1)) }));
    const slowly = (order: readonly number[], pause: number) => async (onLogits: (row: (typeof rows)[0]) => void) => {
      for (const at of order) {
        const values = rows[at]!.values.slice();
        onLogits({ position: at, values });
        values.fill(Number.NaN);
        if (at % pause === 0) await new Promise((resolve) => setTimeout(resolve, 0));
      }
    };
    const forward = [...rows.keys()];
    const outcomes = await compareRowStreams(forward, () => true, slowly(forward, 2), slowly(forward.toReversed(), 3));
    expect(outcomes.map((outcome) => outcome.kind === 'value' && outcome.metrics.differing)).toEqual(
      forward.map(() => 0),
    );
  });
});

describe('rungs', () => {
  test('those that nobody asked for are skipped, and none is refused', async () => {
    const report = await runLadder({
      ours: fakeSide(),
      reference: fakeSide(),
      cases: TOY_CASES,
      rungs: ['tokens', 'decode'],
    });
    expect(report.rungs.map(({ status }) => status)).toEqual([
      'skipped',
      'pass',
      'skipped',
      'skipped',
      'skipped',
      'skipped',
      'pass',
    ]);
    await expect(runLadder({ ours: fakeSide(), reference: fakeSide(), cases: TOY_CASES, rungs: [] })).rejects.toThrow(
      RangeError,
    );
  });

  test('a failure is not looked into where that is said', async () => {
    const options = { ours: wrongFrom(3), reference: fakeSide(), cases: [CASE], exact: true };
    expect(await runLadder({ ...options, explain: false })).toMatchObject({ verdict: 'fail', where: null, why: [] });
    const { where, why } = await runLadder(options);
    // Only rows differ: every traced operation is equal.
    expect(where).toMatchObject({ case: 'a', diff: { first: null } });
    expect(why.map(({ id }) => id)).toContain('exchanged-rows');
  });

  test('a part of the ids is traced where a case says so', async () => {
    const report = await runLadder({
      ours: fakeSide(),
      reference: fakeSide(),
      cases: [{ ...CASE, traceLength: 4 }],
      exact: true,
    });
    expect(report).toMatchObject({ verdict: 'pass', counts: { maskRows: 2 * 4 } });
  });

  test('models may differ where that is said', async () => {
    const other = { identity: { model: { file: 'other.gguf', sha256: 'b2'.repeat(32) } } };
    const options = { ours: fakeSide(other), reference: fakeSide(), cases: TOY_CASES };
    expect(await runLadder(options)).toMatchObject({ failures: [{ code: 'MODEL_DIFFERS' }] });
    expect(await runLadder({ ...options, sameModel: false })).toMatchObject({ verdict: 'pass' });
  });
});
