import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type LadderOptions, runLadder } from '../src/ladder/run-ladder.ts';
import { renderReport } from '../src/ladder/render-report.ts';
import { type LadderFailureCode, type LadderReport, type Rung, RUNGS } from '../src/ladder/report.ts';
import { openRecording } from '../src/recording.ts';
import type { Side, TraceTap } from '../src/side.ts';
import { type Changes, fakeSide, flipBit, MODEL, tapsOfStep, TOY_CASES, toyCase } from './fake-side.ts';
import { reader, recordToy } from './toy-recording.ts';

const recorded = await openRecording(reader(await recordToy()));
const digestsOnly = await openRecording(reader(await recordToy(() => false)));

function climb(changes: Changes, options: Partial<LadderOptions> = {}): Promise<LadderReport> {
  return runLadder({
    ours: fakeSide(changes),
    reference: recorded.side('avx512'),
    cases: TOY_CASES,
    exact: true,
    ...options,
  });
}

/** A report in short, to compare with `failure`. */
function summary(report: LadderReport): object {
  return {
    verdict: report.verdict,
    statuses: report.rungs.map(({ status }) => status),
    codes: report.failures.map(({ rung, code }) => `${rung} ${code}`),
    // A NaN would come back as null.
    isJson: isDeepStrictEqual(JSON.parse(JSON.stringify(report)), report),
  };
}

/** What a failed climb looks like: the rungs below passed, and nothing ran above. */
function failure(rung: Rung, code: LadderFailureCode): object {
  const failed = RUNGS.indexOf(rung);
  return {
    verdict: 'fail',
    statuses: RUNGS.map((_, index) => (index < failed ? 'pass' : index === failed ? 'fail' : 'not-run')),
    codes: expect.arrayContaining([`${rung} ${code}`]),
    isJson: true,
  };
}

/** Changes the values of the tap that `matches`. */
function changeTap(matches: (tap: TraceTap) => boolean, change: (data: Float32Array) => Float32Array): Changes {
  return {
    taps: (taps) => taps.map((tap) => (matches(tap) ? { ...tap, data: change(tap.data!) } : tap)),
  };
}

/** Changes the row of position 0 or of all later ones. */
function changeRows(where: 'first' | 'later', change: (values: Float32Array) => Float32Array): Changes {
  return {
    rows: (rows) =>
      rows.map((row) => ((row.position === 0) === (where === 'first') ? { ...row, values: change(row.values!) } : row)),
  };
}

function withValue(value: number): (values: Float32Array) => Float32Array {
  return (values) => values.with(3, value);
}

describe('a side that computes the same', () => {
  test.each([true, false])('passes every rung, exact %s', async (exact) => {
    const report = await climb({}, { exact });
    expect(report).toMatchObject({ verdict: 'pass', failures: [], maxAbs: 0, firstDivergence: null });
    expect(report.rungs.every(({ status, compared }) => status === 'pass' && compared > 0)).toBe(true);
    expect(report.counts).toEqual({
      cases: 4,
      tokens: 5 + 5 + 12 + 12,
      tracedCases: 2,
      taps: 6 + 3 * 6,
      tapsByValue: 24,
      tapsByDigest: 0,
      // Per token: twice two heads of 32 cells and four times 16 values; 5 tokens of the batch and 3 recorded steps.
      tapValues: (5 + 3) * (2 * 2 * 32 + 4 * 16),
      maskRows: 2 * (5 + 3),
      maskRowsAgainstReference: 2 * (5 + 3),
      rowsByValue: 5 + 5 + 12 + 1,
      rowsByDigest: 0,
      rowValues: 23 * 16,
      differingValues: 0,
      decodeSteps: 16,
      decodeRowsByValue: 16,
      decodeRowsByDigest: 0,
    });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  test.each([true, false])('passes against digests alone, counted apart, exact %s', async (exact) => {
    const report = await climb({}, { exact, reference: digestsOnly.side('avx512') });
    expect(report).toMatchObject({
      verdict: 'pass',
      maxAbs: null,
      counts: { rowsByValue: 0, rowsByDigest: 23, tapsByValue: 0, tapsByDigest: 24, maskRowsAgainstReference: 0 },
    });
  });

  test('two recordings can be compared', async () => {
    const report = await climb({}, { ours: digestsOnly.side('avx512'), reference: digestsOnly.side('avx512') });
    // Without attention probabilities on our side there is no mask to look at.
    expect(summary(report)).toEqual(failure('masks', 'NOTHING_COMPARED'));
    expect(await climb({}, { ours: recorded.side('avx512') })).toMatchObject({ verdict: 'pass' });
  });

  test('reports progress of every case on every rung that runs them', async () => {
    const seen: string[] = [];
    await climb({}, { onProgress: ({ rung, case: id, done, total }) => seen.push(`${rung} ${id} ${done}/${total}`) });
    expect(seen).toContain('shapes p0.sequential 1/2');
    expect(seen.at(-1)).toBe('decode p1.batch-last 3/4');
  });

  test('rejects with the reason of a cancelled run', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const run = climb({}, { signal: controller.signal, onProgress: () => controller.abort(reason) });
    await expect(run).rejects.toBe(reason);
  });
});

describe('preflight', () => {
  test.each<[LadderFailureCode, Partial<LadderOptions>]>([
    ['IDENTITY_MISSING', { ours: fakeSide({ identity: { name: '' } }) }],
    ['IDENTITY_MISSING', { ours: fakeSide({ identity: { version: '' } }) }],
    ['IDENTITY_MISSING', { reference: fakeSide({ identity: { model: { ...MODEL, sha256: '' } } }) }],
    ['MODEL_DIFFERS', { ours: fakeSide({ identity: { model: { ...MODEL, sha256: 'b2'.repeat(32) } } }) }],
    ['NO_CASES', { cases: [] }],
    ['BAD_CASE', { cases: [{ ...TOY_CASES[0]!, ids: [] }] }],
    ['BAD_CASE', { cases: [{ ...TOY_CASES[0]!, greedyCount: 0 }] }],
    ['BAD_CASE', { cases: [TOY_CASES[0]!, TOY_CASES[0]!] }],
  ])('%s', async (code, options) => {
    expect(summary(await climb({}, options))).toEqual(failure('preflight', code));
  });

  test('thresholds without a limit are refused, because nothing could fail', async () => {
    const thresholds = { source: 'test', firstLogit: {}, positions: { maxAbs: 1 } };
    await expect(climb({}, { exact: false, thresholds })).rejects.toThrow(RangeError);
  });
});

describe('tokens', () => {
  test('names the first differing index and both ids', async () => {
    const report = await climb({ tokens: (ids) => ids.with(2, 99) });
    expect(summary(report)).toEqual(failure('tokens', 'TOKENS_DIFFER'));
    expect(report.failures[0]).toMatchObject({ case: 'p0.batch-all', details: { index: 2, reference: 14, ours: 99 } });
    expect(report.failures).toHaveLength(4);
  });

  test('a shorter list is a difference', async () => {
    const report = await climb({ tokens: (ids) => ids.slice(0, -1) });
    expect(summary(report)).toEqual(failure('tokens', 'TOKENS_DIFFER'));
    expect(report.failures[0]).toMatchObject({ details: { index: 4, ours: null } });
  });
});

describe('shapes', () => {
  test.each<[LadderFailureCode, Changes]>([
    ['TAP_MISSING', { taps: (taps) => taps.filter(({ occurrence }) => occurrence !== 1) }],
    ['TAP_MISSING', { taps: (taps) => taps.slice(0, -1) }],
    ['TAP_UNEXPECTED', { taps: (taps) => [{ ...taps[0]!, name: 'extra' }, ...taps] }],
    ['TAP_UNEXPECTED', { taps: (taps) => [...taps, { ...taps[0]!, name: 'extra' }] }],
    ['TAP_ORDER_DIFFERS', { taps: (taps) => [taps[1]!, taps[0]!, ...taps.slice(2)] }],
    ['SHAPE_DIFFERS', { taps: (taps) => taps.with(0, { ...taps[0]!, shape: taps[0]!.shape.toReversed() }) }],
    ['SHAPE_DIFFERS', { taps: (taps) => taps.with(0, { ...taps[0]!, data: new Float32Array(3) }) }],
    ['TRACE_EMPTY', { taps: () => [] }],
  ])('%s', async (code, changes) => {
    expect(summary(await climb(changes))).toEqual(failure('shapes', code));
  });

  test('a reference without any trace is nothing compared', async () => {
    const cases = [toyCase('p1.batch-all', 'upon a time', 'batch-all', false)];
    expect(summary(await climb({}, { cases }))).toEqual(failure('shapes', 'NOTHING_COMPARED'));
  });
});

describe('masks', () => {
  const isMask = ({ name }: TraceTap) => name === 'kq_soft_max_ext-0';

  test('a weight on a later position is a leak, and is named', async () => {
    // Head 0, position 1 of the batch sees cell 2.
    const report = await climb(changeTap(isMask, (data) => data.with(data.length > 64 ? 32 + 2 : 5, 0.25)));
    expect(summary(report)).toEqual(failure('masks', 'MASK_LEAK'));
    expect(report.failures[0]).toMatchObject({
      case: 'p0.batch-all',
      position: 1,
      details: { tap: 'kq_soft_max_ext-0', head: 0, cell: 2, ours: 0.25 },
    });
  });

  test('no weight where the reference has one differs', async () => {
    expect(summary(await climb(changeTap(isMask, (data) => data.with(0, 0))))).toEqual(
      failure('masks', 'MASK_DIFFERS'),
    );
  });

  test('no weight for a score too far below the largest is no mask', async () => {
    const score = changeTap(
      ({ name }) => name === 'kq-0',
      (data) => data.with(32, -2000),
    );
    const weight = changeTap(isMask, (data) => (data.length > 64 ? data.with(32, 0) : data));
    const report = await climb({ taps: (taps) => weight.taps!(score.taps!(taps)) });
    // What differs are the scores, which a later rung compares.
    expect(summary(report)).toEqual(failure('positions', 'TAP_DIFFERS'));
    expect(report.failures[0]).toMatchObject({ details: { name: 'kq-0' } });
  });

  test('NaN beyond a position is a leak', async () => {
    expect(summary(await climb(changeTap(isMask, (data) => data.with(31, Number.NaN))))).toEqual(
      failure('masks', 'MASK_LEAK'),
    );
  });

  test('positions go on in the next micro-batch', async () => {
    const cases = [TOY_CASES[0]!];
    const { ids } = cases[0]!;
    const split = [...tapsOfStep(ids, 0, 0, 3), ...tapsOfStep(ids, 1, 3, 2)];
    const reference = fakeSide({ taps: () => split });
    expect(await climb({}, { cases, reference, ours: reference })).toMatchObject({ verdict: 'pass' });
    // Position 3 is the first row of step 1: cell 4 is later, cell 3 is not.
    const leak = changeTap(
      (tap) => isMask(tap) && tap.step === 1,
      (data) => data.with(4, 0.5),
    );
    const report = await climb({}, { cases, reference, ours: fakeSide({ taps: () => leak.taps!(split) }) });
    expect(report.failures).toMatchObject([{ code: 'MASK_LEAK', position: 3, details: { step: 1, cell: 4 } }]);
  });

  test('cells that are no multiple of 32 are named', async () => {
    const shrink = (tap: TraceTap): TraceTap => {
      if (!isMask(tap)) return tap;
      const shape = tap.shape.with(tap.shape.length - 1, 16);
      const rows = tap.data!.length / 32;
      const data = Float32Array.from(
        { length: rows * 16 },
        (_, index) => tap.data![Math.floor(index / 16) * 32 + (index % 16)]!,
      );
      return { ...tap, shape, data };
    };
    const side = fakeSide({ taps: (taps) => taps.map(shrink) });
    expect(summary(await climb({}, { ours: side, reference: side }))).toEqual(failure('masks', 'KV_CELLS'));
  });
});

describe('first-logit', () => {
  test.each<[LadderFailureCode, Changes]>([
    ['LOGITS_DIFFER', changeRows('first', (values) => flipBit(values, 7))],
    ['NON_FINITE', changeRows('first', withValue(Number.NaN))],
    ['NON_FINITE', changeRows('first', withValue(-Infinity))],
    ['ROW_LENGTH_DIFFERS', changeRows('first', (values) => values.slice(1))],
    ['ROW_LENGTH_DIFFERS', changeRows('first', () => new Float32Array(0))],
    ['ROW_MISSING', { rows: (rows) => rows.filter(({ position }) => position !== 0) }],
    ['ROW_MISSING', { rows: () => [] }],
    ['NOT_COMPARABLE', { rows: (rows) => rows.map(({ position }) => ({ position })) }],
  ])('%s', async (code, changes) => {
    expect(summary(await climb(changes))).toEqual(failure('first-logit', code));
  });

  test('a difference within the playbook passes, one beyond it does not', async () => {
    const shifted = (by: number) => changeRows('first', (values) => values.map((value) => value + by));
    expect(await climb(shifted(4e-4), { exact: false })).toMatchObject({
      verdict: 'pass',
      worst: { top5: { value: 1 } },
    });
    expect(summary(await climb(shifted(6e-4), { exact: false }))).toEqual(failure('first-logit', 'THRESHOLD_EXCEEDED'));
  });

  test('batch-last alone has no first logits to compare', async () => {
    const cases = [{ ...TOY_CASES[0]!, greedyCount: 1 }, TOY_CASES[3]!].map((of) => ({
      ...of,
      mode: 'batch-last' as const,
    }));
    expect(summary(await climb({}, { cases, reference: fakeSide() }))).toEqual(
      failure('first-logit', 'NOTHING_COMPARED'),
    );
  });
});

describe('positions', () => {
  test.each<[LadderFailureCode, Changes]>([
    ['LOGITS_DIFFER', changeRows('later', (values) => flipBit(values, 7))],
    ['NON_FINITE', changeRows('later', withValue(Number.NaN))],
    [
      'ROW_MISSING',
      { rows: (rows) => rows.slice(0, Math.max(1, rows.length - 1)).filter(({ position }) => position < 11) },
    ],
    ['ROW_UNEXPECTED', { rows: (rows) => [...rows, rows.at(-1)!] }],
    ['ROW_UNEXPECTED', { rows: (rows) => [...rows, { ...rows[0]!, position: 99 }] }],
  ])('%s', async (code, changes) => {
    expect(summary(await climb(changes))).toEqual(failure('positions', code));
  });

  test('one bit in one operation names the operation, the element and both values', async () => {
    const isSecondNorm = ({ name, occurrence }: TraceTap) => name === 'norm-0' && occurrence === 1;
    const report = await climb(changeTap(isSecondNorm, (data) => flipBit(data, 9)));
    expect(summary(report)).toEqual(failure('positions', 'TAP_DIFFERS'));
    expect(report.firstDivergence).toMatchObject({
      case: 'p0.batch-all',
      index: 4,
      name: 'norm-0',
      occurrence: 1,
      step: 0,
      element: 9,
      differing: 1,
    });
    expect(report.firstDivergence?.ours).not.toBe(report.firstDivergence?.reference);
    expect(report.failures[0]?.details).toEqual(report.firstDivergence);
  });

  test('under tolerances a differing operation is told, and does not fail', async () => {
    const report = await climb(
      changeTap(
        ({ name }) => name === 'inp_embd',
        (data) => flipBit(data, 0),
      ),
      { exact: false },
    );
    expect(report).toMatchObject({ verdict: 'pass', firstDivergence: { name: 'inp_embd', element: 0 } });
  });

  test('one bit in one operation is found by digest', async () => {
    const changes = changeTap(
      ({ name }) => name === 'result_output',
      (data) => flipBit(data, 9),
    );
    const report = await climb(changes, { reference: digestsOnly.side('avx512') });
    expect(summary(report)).toEqual(failure('positions', 'TAP_DIFFERS'));
    expect(report.firstDivergence).toMatchObject({ name: 'result_output', element: null, differing: null });
  });

  test('equal NaNs of both sides are no agreement', async () => {
    const side = fakeSide(changeTap(({ name }) => name === 'inp_embd', withValue(Number.NaN)));
    const report = await climb({}, { ours: side, reference: side });
    expect(summary(report)).toEqual(failure('positions', 'TAP_DIFFERS'));
    expect(report.firstDivergence).toMatchObject({ element: 3, reference: 'NaN', ours: 'NaN' });
  });

  test('a tap that cannot be compared is not a pass', async () => {
    const report = await climb({
      taps: (taps) => taps.map(({ data, ...tap }) => (tap.name === 'inp_embd' ? tap : { ...tap, data: data! })),
    });
    expect(summary(report)).toEqual(failure('positions', 'NOT_COMPARABLE'));
  });

  test.each([true, false])('a bit that differs from a digest has its own name, exact %s', async (exact) => {
    const changes = changeRows('later', (values) => flipBit(values, 7));
    const report = await climb(changes, { exact, reference: digestsOnly.side('avx512') });
    expect(summary(report)).toEqual(failure('positions', 'DIGEST_DIFFERS'));
    expect(report.failures[0]?.details).toHaveProperty('referenceTop');
  });

  test('NaN against a digest is named as such', async () => {
    const report = await climb(changeRows('later', withValue(Number.NaN)), { reference: digestsOnly.side('avx512') });
    expect(summary(report)).toEqual(failure('positions', 'NON_FINITE'));
  });

  test('largest logits that contradict equal digests fail', async () => {
    const side = recorded.side('avx512');
    const reference: Side = {
      ...side,
      evaluate: (ids, options) =>
        digestsOnly.side('avx512').evaluate(ids, {
          ...options,
          onLogits: (row) => options.onLogits(row.position === 0 ? row : { ...row, top: row.top!.toReversed() }),
        }),
    };
    expect(summary(await climb({}, { reference }))).toEqual(failure('positions', 'TOP_DIFFERS'));
  });

  test('a difference within the playbook passes, one beyond it names every limit', async () => {
    const shifted = (by: number) => changeRows('later', (values) => values.map((value) => value + by));
    const passing = await climb(shifted(9e-4), { exact: false });
    expect(passing.verdict).toBe('pass');
    expect(passing.maxAbs).toBeGreaterThan(8.9e-4);
    const report = await climb(shifted(0.01), { exact: false });
    expect(summary(report)).toEqual(failure('positions', 'THRESHOLD_EXCEEDED'));
    expect(report.failures[0]?.message).toMatch(/maxAbs.*mse/);
  });
});

describe('decode', () => {
  test.each<[LadderFailureCode, Changes]>([
    ['GREEDY_DIFFERS', { greedy: (ids) => ids.with(2, (ids[2]! + 1) % 16) }],
    ['GREEDY_DIFFERS', { greedy: (ids) => ids.slice(0, -1) }],
    ['LOGITS_DIFFER', { generated: (rows) => rows.with(3, { ...rows[3]!, values: flipBit(rows[3]!.values!, 0) }) }],
    ['ROW_MISSING', { generated: (rows) => rows.slice(0, -1) }],
    ['ROW_MISSING', { generated: () => [] }],
    ['NON_FINITE', { generated: (rows) => rows.map((row) => ({ ...row, values: row.values!.with(0, Number.NaN) })) }],
  ])('%s', async (code, changes) => {
    expect(summary(await climb(changes))).toEqual(failure('decode', code));
  });

  test('names the step and both ids, under tolerances too', async () => {
    const report = await climb({ greedy: (ids) => ids.with(1, 99) }, { exact: false });
    expect(summary(report)).toEqual(failure('decode', 'GREEDY_DIFFERS'));
    expect(report.failures[0]).toMatchObject({ case: 'p0.batch-all', position: 6, details: { step: 1, ours: 99 } });
  });

  test('two sides that stop early agree on nothing', async () => {
    const side = fakeSide({ greedy: () => [] });
    expect(summary(await climb({}, { ours: side, reference: side }))).toEqual(failure('decode', 'GREEDY_SHORT'));
  });
});

describe('a side that throws', () => {
  const broken = async (): Promise<never> => {
    throw new Error('out of order');
  };

  test.each<[Rung, Partial<Side>]>([
    ['tokens', { tokenize: broken }],
    ['shapes', { trace: broken }],
    ['first-logit', { evaluate: broken }],
    ['decode', { decode: broken }],
  ])('fails on rung %s', async (rung, methods) => {
    const report = await climb({}, { ours: { ...fakeSide(), ...methods } });
    expect(summary(report)).toEqual(failure(rung, 'SIDE_FAILED'));
    expect(report.failures[0]?.message).toContain('out of order');
  });

  test.each([true, false])('fails although all rows came first, exact %s', async (exact) => {
    const side = fakeSide();
    const evaluate: Side['evaluate'] = async (ids, options) => {
      await side.evaluate(ids, options);
      await broken();
    };
    const decode: Side['decode'] = async (ids, options) => {
      await side.decode(ids, options);
      return broken();
    };
    expect(summary(await climb({}, { exact, ours: { ...side, evaluate } }))).toEqual(
      failure('positions', 'SIDE_FAILED'),
    );
    expect(summary(await climb({}, { exact, ours: { ...side, decode } }))).toEqual(failure('decode', 'SIDE_FAILED'));
  });

  test('what was not recorded fails by that name', async () => {
    const cases = [...TOY_CASES, toyCase('p9.batch-all', 'never', 'batch-all', false)];
    const report = await climb({}, { cases });
    expect(summary(report)).toEqual(failure('first-logit', 'SIDE_FAILED'));
    expect(report.failures[0]?.details).toMatchObject({ code: 'CROSSVAL_NOT_RECORDED' });
  });
});

describe('renderReport', () => {
  test('says what was compared', async () => {
    const text = renderReport(await climb({}));
    expect(text).toContain('Parity ladder: PASS (exact, every bit)');
    expect(text).toMatch(/^positions +pass +23 rows$/m);
    expect(text).toMatch(/^max abs diff +0$/m);
    expect(text).not.toMatch(/NaN|undefined|null/);
  });

  test('names the failure and the first differing operation', async () => {
    const text = renderReport(
      await climb(
        changeTap(
          ({ name }) => name === 'inp_embd',
          (data) => flipBit(data, 0),
        ),
      ),
    );
    expect(text).toContain('Parity ladder: FAIL');
    expect(text).toMatch(/^decode +not-run$/m);
    expect(text).toContain('positions TAP_DIFFERS in p0.batch-all');
    expect(text).toMatch(
      /^First differing operation: inp_embd \(occurrence 0, step 0\) in p0\.batch-all, element 0: the reference has .+, ours .+$/m,
    );
  });
});
