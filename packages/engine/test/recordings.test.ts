import { openGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import { type EvaluationMode, loadModel, type Model, type Numerics } from '../src/index.ts';
import { type Fixture, RECORDED, TINY } from './fixtures.ts';
import { compute, positionsOf, readBytes, readJson, sha256, trace, type TraceNode } from './parity.ts';
import { toLayout64x16 } from './patch.ts';
import { VARIANTS } from './variants.ts';

/** The parts of a recording.json (format: packages/crossval, recording-format.ts) that are compared here. */
interface Recording {
  readonly model: { readonly sha256: string };
  readonly references: readonly { readonly id: string; readonly numerics: Numerics }[];
  readonly runs: readonly RecordedRun[];
  readonly traces: readonly RecordedTrace[];
}

interface RecordedRun {
  readonly ids: readonly number[];
  readonly reference: string;
  readonly mode: EvaluationMode;
  readonly rows: readonly { readonly position: number; readonly sha256: string }[];
  readonly greedy: readonly number[];
  readonly generated: readonly string[];
}

interface RecordedTrace {
  readonly ids: readonly number[];
  readonly reference: string;
  readonly mode: EvaluationMode;
  /** The steps that were kept. */
  readonly steps: readonly number[];
  readonly nodes: readonly TraceNode[];
}

/** Compares everything that was recorded; returns how much that was. */
async function compareAll(recording: Recording, load: (numerics: Numerics) => Promise<Model>) {
  const compared = { rows: 0, greedy: 0, nodes: 0 };
  for (const { id, numerics } of recording.references) {
    using model = await load(numerics);
    const session = model.createSession();
    for (const run of recording.runs.filter(({ reference }) => reference === id)) {
      const label = `${id} ${run.mode} ${run.ids.length} ids`;
      const computed = await compute(session, run.ids, run.mode, run.greedy.length);
      expect(run.rows.map(({ position }) => position)).toEqual(positionsOf(run.mode, run.ids.length));
      expect({ label, ...computed }).toEqual({
        label,
        positions: positionsOf(run.mode, run.ids.length),
        rows: run.rows.map((row) => row.sha256),
        greedy: run.greedy,
        generated: run.generated,
      });
      compared.rows += computed.rows.length;
      compared.greedy += computed.greedy.length;
    }
    for (const recorded of recording.traces.filter(({ reference }) => reference === id)) {
      const nodes = await trace(session, recorded.ids, recorded.mode);
      const kept = nodes.filter(({ step }) => recorded.steps.includes(step));
      const expected = recorded.nodes.map(({ name, occurrence, step, shape, sha256: digest }) => ({
        name,
        occurrence,
        step,
        shape,
        sha256: digest,
      }));
      expect(kept, `trace ${id} ${recorded.mode}`).toEqual(expected);
      compared.nodes += kept.length;
    }
  }
  return compared;
}

function open({ model, recording }: Fixture): { bytes: Uint8Array<ArrayBuffer>; recording: Recording } {
  return { bytes: readBytes(model), recording: readJson<Recording>(recording) };
}

describe.each(VARIANTS)('the reference as recorded, %s kernels', (variant) => {
  // The larger model runs on the default kernels only, to keep this short.
  const fixtures = RECORDED.filter(({ name }) => name !== 'storyteller' || variant === VARIANTS[0]);

  test.each(fixtures)(
    '$name: every row, greedy id and traced node has the same bits',
    { timeout: 60_000 },
    async (fixture) => {
      const { bytes, recording } = open(fixture);
      expect(sha256(bytes)).toBe(recording.model.sha256);
      const compared = await compareAll(recording, (numerics) => loadModel(bytes, { numerics, kernels: variant }));
      expect(compared).toEqual(fixture.recorded);
    },
  );
});

test.each([2, 3])('%i threads give the same bits as one', { timeout: 60_000 }, async (threads) => {
  const { bytes, recording } = open(TINY);
  const load = (numerics: Numerics) => loadModel(bytes, { numerics, threads, revectorize: threads === 3 });
  expect(await compareAll(recording, load)).toEqual(TINY.recorded);
});

describe('layout 64x16', () => {
  /** Of the file that `tools/oracle/make_model.py OUT --packing i2_s-64x16` writes: the same weights. */
  const ARM_SHA256 = '124de5d24813b15a5971c1e124f1002f847fad7402831d1c0938421f2597dbe7';

  test('the same weights repacked give the same bits', { timeout: 60_000 }, async () => {
    const { bytes, recording } = open(TINY);
    const repacked = await toLayout64x16(bytes);
    expect(sha256(repacked)).toBe(ARM_SHA256);
    // Once by the engine's option, once as the file was opened.
    const opened = await openGguf(repacked, { i2sLayout: '64x16' });
    const compared = await compareAll(recording, (numerics) =>
      numerics === 'avx2' ? loadModel(opened, { numerics }) : loadModel(repacked, { numerics, i2sLayout: '64x16' }),
    );
    expect(compared).toEqual(TINY.recorded);
  });

  test('reading a file in the wrong layout is not noticed, and gives other logits', async () => {
    const { bytes, recording } = open(TINY);
    const [run] = recording.runs;
    using model = await loadModel(bytes, { i2sLayout: '64x16' });
    const { rows } = await compute(model.createSession(), run!.ids, run!.mode, 0);
    const same = rows.filter((row, index) => row === run!.rows[index]!.sha256);
    expect(rows).toHaveLength(run!.rows.length);
    expect(same).toEqual([]);
  });
});
