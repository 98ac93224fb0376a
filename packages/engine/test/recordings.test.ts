import { openGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import {
  type EvaluationMode,
  loadModel,
  type Model,
  type Numerics,
  prefill,
  TL1_KERNELS,
  type Tl1Tilings,
} from '../src/index.ts';
import { type Fixture, RECORDED, TINY, tinyBytes } from './fixtures.ts';
import {
  compute,
  digest as digestOf,
  positionsOf,
  readBytes,
  readJson,
  sha256,
  trace,
  type TraceNode,
} from './parity.ts';
import { f32, setData, toLayout64x16, toTl1 } from './patch.ts';
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

describe('TL1', () => {
  /** Of the file that `tools/oracle/make_model.py OUT --packing tl1 --tl1-tiling FILE` writes: the same weights. */
  const TL1_SHA256 = 'ca49b9c4cb951bdfe5c382b87e924cc246a073c75e5929e23d9641d25a5cef50';
  const TILING: Tl1Tilings = {
    '256x256': [128, 64, 32],
    '128x256': [128, 64, 32],
    '768x256': [256, 128, 64],
    '256x768': [128, 64, 32],
  };

  const cases = TL1_KERNELS.flatMap((tl1Kernel) => [1, 2].map((threads) => ({ tl1Kernel, threads })));
  test.each(cases)(
    'the same weights give the same bits: $tl1Kernel, $threads thread(s)',
    { timeout: 60_000 },
    async ({ tl1Kernel, threads }) => {
      const { bytes, recording } = open(TINY);
      const repacked = await toTl1(bytes, TILING);
      expect(sha256(repacked)).toBe(TL1_SHA256);
      const compared = await compareAll(recording, async (numerics) => {
        const model = await loadModel(repacked, { numerics, threads, tl1Kernel, tl1Tiling: TILING });
        expect([model.tl1Kernel, model.threads]).toEqual([tl1Kernel, threads]);
        return model;
      });
      expect(compared).toEqual(TINY.recorded);
    },
  );

  test.each(TL1_KERNELS)('%s in plain SIMD128', { timeout: 60_000 }, async (tl1Kernel) => {
    const { bytes, recording } = open(TINY);
    const repacked = await toTl1(bytes, TILING);
    const compared = await compareAll(recording, (numerics) =>
      loadModel(repacked, { numerics, kernels: 'simd128', tl1Kernel, tl1Tiling: TILING }),
    );
    expect(compared).toEqual(TINY.recorded);
  });

  test.each(TL1_KERNELS)(
    'small rows and rows of zeros are quantized by the rule of their type: %s',
    async (tl1Kernel) => {
      // Rows below 1e-5, where I2_S and TL1 differ (numerics, section 4), and rows of zeros. Digests by tools/oracle.
      const changed = await setData(tinyBytes(), 'blk.1.attn_norm.weight', 0, f32(...Array<number>(256).fill(1e-6)));
      const i2s = await setData(changed, 'blk.2.ffn_norm.weight', 0, f32(...Array<number>(256).fill(0)));
      const tl1 = await toTl1(i2s, TILING);
      const rows = [];
      for (const bytes of [i2s, tl1]) {
        using model = await loadModel(bytes, { tl1Kernel, tl1Tiling: TILING });
        for (const mode of ['batch-all', 'sequential'] as const) {
          rows.push(digestOf(await prefill(model.createSession(), [502, 311, 480, 305], mode)));
        }
      }
      expect(rows).toEqual([
        'f8db5b0c6b3e4a187afce55c8e45fa6e19783aa552750af137491a02cb9f7c96',
        '3ac430d60800b45e19bfdc01e9a651f9249a34f7c1a7fa6f608ad79126ef196c',
        'a01d4567b4ebd303cf88e7fb3fff9a9262ed538a2bd13e809fe0a6339047fbb2',
        'e20cbc33ca438ebc6c80da9e03ac2b0a247b1e4597c5c435a46e849859d5be47',
      ]);
    },
  );

  test('reading a file by another tiling is not noticed, and gives other logits', async () => {
    const { bytes, recording } = open(TINY);
    const [run] = recording.runs;
    const repacked = await toTl1(bytes, TILING);
    using model = await loadModel(repacked, { tl1Tiling: { ...TILING, '256x256': [128, 64, 64] } });
    const { rows } = await compute(model.createSession(), run!.ids, run!.mode, 0);
    const same = rows.filter((row, index) => row === run!.rows[index]!.sha256);
    expect(rows).toHaveLength(run!.rows.length);
    expect(same).toEqual([]);
  });
});
