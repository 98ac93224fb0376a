import { describe, expect, test } from 'vitest';
import { captureTrace } from '../src/trace/capture.ts';
import { diffTraces } from '../src/trace/diff.ts';
import { openTrace, type TraceFileName } from '../src/trace/open-trace.ts';
import { renderTraceDiff } from '../src/trace/render-diff.ts';
import { traceEntry, traceHeader } from '../src/trace/trace-index.ts';
import type { EvaluationMode, TraceTap } from '../src/side.ts';
import { sha256OfFloats } from '../src/sha256.ts';
import { writeSafetensors } from '../src/safetensors.ts';
import { type Changes, fakeSide, flipBit, tokenizeToy } from './fake-side.ts';

const IDS = tokenizeToy('once');

/** The two files of a toy trace. `change` gets the lines of the index. */
async function recorded(
  change: (lines: string[]) => string[] = (lines) => lines,
  changes: Changes = {},
  mode: EvaluationMode = 'batch-all',
): Promise<Record<TraceFileName, Uint8Array>> {
  const side = fakeSide(changes);
  const taps: TraceTap[] = [];
  await side.trace(IDS, { mode, onTap: (tap) => taps.push({ ...tap, data: tap.data!.slice() }) });
  const digests = await Promise.all(taps.map(({ data }) => sha256OfFloats(data!)));
  const arrays = new Map(taps.map(({ data }, index) => [digests[index]!, { shape: [data!.length], values: data! }]));
  const values = writeSafetensors(arrays);
  const lines = [
    traceHeader(side.identity, mode, IDS),
    ...taps.map((tap, index) => traceEntry(tap, tap.data!, digests[index]!)),
    { taps: taps.length, values: { bytes: values.length, arrays: arrays.size } },
  ].map((line) => JSON.stringify(line));
  const text = change(lines).map((line) => `${line}\n`);
  return { 'trace.jsonl': new TextEncoder().encode(text.join('')), 'values.safetensors': values };
}

function open(files: Record<TraceFileName, Uint8Array>): ReturnType<typeof openTrace> {
  return openTrace({
    sizeBytes: async (file) => files[file].length,
    read: async (file, begin, end) => files[file].slice(begin, end),
  });
}

/** Changes one line of the index, parsed. */
function editLine(index: number, change: (of: Record<string, unknown>) => void): (lines: string[]) => string[] {
  return (lines) => {
    const of = JSON.parse(lines.at(index)!);
    change(of);
    return lines.with(index, JSON.stringify(of));
  };
}

describe('trace files', () => {
  test('a trace from files is equal to the one that was captured', async () => {
    for (const mode of ['batch-all', 'sequential'] as const) {
      const file = await open(await recorded(undefined, {}, mode));
      const captured = await captureTrace(fakeSide(), IDS, { mode });
      const diff = await diffTraces(captured, file);
      expect(diff).toMatchObject({ verdict: 'equal', first: null, differing: 0, compared: file.taps.length });
      expect(file.taps).toHaveLength(mode === 'sequential' ? 6 * IDS.length : 6);
    }
  });

  test.each<[string, string, (lines: string[]) => string[]]>([
    ['an empty index', 'CROSSVAL_TRACE_EMPTY', () => []],
    [
      'no operation',
      'CROSSVAL_TRACE_EMPTY',
      (lines) => editLine(-1, (of) => (of['taps'] = 0))([lines[0]!, lines.at(-1)!]),
    ],
    ['no footer', 'CROSSVAL_TRACE_CUT', (lines) => lines.slice(0, -1)],
    ['a header alone', 'CROSSVAL_TRACE_CUT', (lines) => lines.slice(0, 1)],
    ['a line less', 'CROSSVAL_TRACE_CUT', (lines) => lines.toSpliced(2, 1)],
    ['no header', 'CROSSVAL_BAD_TRACE', (lines) => lines.slice(1)],
    ['a line that is no JSON', 'CROSSVAL_BAD_TRACE', (lines) => lines.with(2, lines[2]!.slice(0, 20))],
    ['an operation twice', 'CROSSVAL_BAD_TRACE', (lines) => lines.with(2, lines[1]!)],
    ['a number that is none', 'CROSSVAL_BAD_TRACE', editLine(1, (of) => (of['rms'] = 'NaN'))],
    ['more NaN than values', 'CROSSVAL_BAD_TRACE', editLine(1, (of) => (of['nonFinite'] = 1e6))],
    ['an unknown key', 'CROSSVAL_BAD_TRACE', editLine(1, (of) => (of['note'] = ''))],
    ['another format', 'CROSSVAL_BAD_TRACE', editLine(0, (of) => (of['format'] = 'x'))],
    ['a later version', 'CROSSVAL_UNSUPPORTED_VERSION', editLine(0, (of) => (of['version'] = 2))],
    ['values of another size', 'CROSSVAL_TRACE_CUT', editLine(-1, (of) => (of['values'] = { bytes: 8, arrays: 1 }))],
  ])('refuses %s', async (_, code, change) => {
    await expect(recorded(change).then(open)).rejects.toMatchObject({ code });
  });

  test('refuses every proper prefix of the index', async () => {
    const files = await recorded();
    const index = files['trace.jsonl'];
    for (let length = 0; length < index.length; length += 7) {
      const cut = { ...files, 'trace.jsonl': index.slice(0, length) };
      await expect(open(cut), `${length} bytes`).rejects.toMatchObject({ name: 'CrossvalError' });
    }
  });

  test('an array that is not its digest is refused when it is read', async () => {
    const files = await recorded();
    files['values.safetensors'][files['values.safetensors'].length - 1]! ^= 1;
    const trace = await open(files);
    const last = trace.taps.at(-1)!;
    await expect(trace.values(last)).rejects.toMatchObject({ code: 'CROSSVAL_DIGEST_MISMATCH' });
  });
});

/** Our toy side, of which the taps at `index` have other values. */
function broken(changed: number[], change: (data: Float32Array) => Float32Array): Changes {
  return {
    taps: (taps) => taps.map((tap, index) => (changed.includes(index) ? { ...tap, data: change(tap.data!) } : tap)),
  };
}

describe('diffTraces', () => {
  async function diff(changes: Changes, tolerance?: number, mode: EvaluationMode = 'batch-all') {
    const [reference, ours] = [
      await captureTrace(fakeSide(), IDS, { mode }),
      await captureTrace(fakeSide(changes), IDS, { mode }),
    ];
    return diffTraces(reference, ours, { tolerance });
  }

  test('names the first differing operation, its element and the last equal one', async () => {
    const at = 16 * 2 + 3; // row 2
    const found = await diff(broken([4, 5], (data) => flipBit(data, at)));
    expect(found).toMatchObject({
      verdict: 'differs',
      differing: 2,
      byValue: 2,
      byDigest: 4,
      first: {
        name: 'norm-0',
        occurrence: 1,
        layer: 0,
        element: { index: at, position: 2 },
        metrics: { differing: 1, maxUlp: 1 },
      },
      lastEqual: { name: 'kq_soft_max_ext-0', index: 3 },
    });
    expect(renderTraceDiff(found)).toMatch(
      /First difference  norm-0 .*1 of .* values.*\(1 ulp\).*\nLast equal +kq_soft_max_ext-0/,
    );
  });

  test('the position in a tap with heads outside, and in a sequential trace', async () => {
    const cells = 32;
    const head1row3 = (IDS.length + 3) * cells + 1;
    expect((await diff(broken([3], (data) => flipBit(data, head1row3)))).first?.element?.position).toBe(3);
    const sequential = await diff(
      broken([6 * 3 + 1], (data) => flipBit(data, 0)),
      undefined,
      'sequential',
    );
    expect(sequential.first).toMatchObject({ name: 'norm-0', step: 3, element: { position: 3 } });
    expect(sequential.lastEqual).toMatchObject({ name: 'inp_embd', step: 3 });
  });

  test('a tolerance passes what is within, and no NaN', async () => {
    const near = (data: Float32Array) => data.map((value) => value * (1 + 1e-6));
    expect(await diff(broken([1], near), 1e-5)).toMatchObject({ verdict: 'within', first: { name: 'norm-0' } });
    expect(await diff(broken([1], near), 1e-8)).toMatchObject({ verdict: 'differs' });
    const nan = (data: Float32Array) => data.with(5, Number.NaN);
    expect(await diff(broken([1], nan), 1e9)).toMatchObject({
      verdict: 'differs',
      first: { element: { index: 5, ours: 'NaN' }, metrics: { maxAbs: null, maxUlp: null } },
    });
  });

  test('equal NaNs are no agreement', async () => {
    const nan = broken([1], (data) => data.with(5, Number.NaN));
    const traces = await Promise.all([1, 2].map(() => captureTrace(fakeSide(nan), IDS, { mode: 'batch-all' })));
    expect(await diffTraces(traces[0]!, traces[1]!)).toMatchObject({ verdict: 'differs', first: { name: 'norm-0' } });
  });

  test('without values a difference is known by digest, and no tolerance is kept', async () => {
    const reference = await captureTrace(fakeSide(), IDS, { mode: 'batch-all' });
    const ours = await captureTrace(fakeSide(broken([1], (data) => flipBit(data, 0))), IDS, { mode: 'batch-all' });
    const digests = { ...reference, values: async () => undefined };
    expect(await diffTraces(digests, ours, { tolerance: 1 })).toMatchObject({
      verdict: 'differs',
      first: { name: 'norm-0', occurrence: 0, metrics: null, element: null },
      lastEqual: { name: 'inp_embd' },
    });
  });

  test('traces of other ids, modes, operations or shapes do not match', async () => {
    const unmatched = { code: 'CROSSVAL_TRACES_UNMATCHED' };
    const reference = await captureTrace(fakeSide(), IDS, { mode: 'batch-all' });
    const others = [
      captureTrace(fakeSide(), IDS.with(1, 9), { mode: 'batch-all' }),
      captureTrace(fakeSide(), IDS, { mode: 'sequential' }),
      captureTrace(fakeSide({ taps: (taps) => taps.slice(1) }), IDS, { mode: 'batch-all' }),
      captureTrace(fakeSide({ taps: (taps) => taps.map((tap) => ({ ...tap, shape: [1, ...tap.shape] })) }), IDS, {
        mode: 'batch-all',
      }),
    ];
    for (const other of others) {
      await expect(diffTraces(reference, await other)).rejects.toMatchObject(unmatched);
      await expect(diffTraces(await other, reference)).rejects.toMatchObject(unmatched);
    }
  });

  test('an empty trace, and one of which nothing was kept, are errors', async () => {
    const empty = { code: 'CROSSVAL_TRACE_EMPTY' };
    await expect(captureTrace(fakeSide({ taps: () => [] }), IDS, { mode: 'batch-all' })).rejects.toMatchObject(empty);
    const passed = await captureTrace(fakeSide(), IDS, { mode: 'batch-all', keep: () => false });
    await expect(diffTraces(passed, passed)).rejects.toMatchObject(empty);
  });

  test('the drift of each layer and position', async () => {
    const { drift } = await diff(
      broken([5], (data) => data.map((value, index) => (index >= 16 ? value * 1.5 : value))),
    );
    expect(drift.map(({ name }) => name)).toEqual(['inp_embd', 'result_output']);
    expect(drift[0]?.relative).toBe(0);
    expect(drift[1]?.positions.map(({ relative }) => relative?.toFixed(3))).toEqual([
      '0.000',
      ...IDS.slice(1).map(() => '0.500'),
    ]);
  });
});
