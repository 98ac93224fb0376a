import { describe, expect, test } from 'vitest';
import { type EvaluationMode, type I2sLayout, loadModel, type Numerics, NUMERICS } from '../src/index.ts';
import { compute, digest, positionsOf, readBytes, readJson, sha256, trace, type TraceNode } from './parity.ts';
import { VARIANTS } from './variants.ts';

/** What tools/oracle/make-vectors.py writes; vectors/README.md describes it. */
interface Vectors {
  readonly model: { readonly file: string; readonly sha256: string };
  readonly i2sLayout: I2sLayout;
  readonly prompts: Readonly<Record<string, readonly number[]>>;
  readonly runs: readonly {
    readonly numerics: Numerics;
    readonly mode: EvaluationMode;
    readonly prompt: string;
    readonly rows: readonly string[];
    readonly top5: readonly (readonly [id: number, logit: number])[];
    readonly greedy: readonly number[];
    readonly generated: readonly string[];
  }[];
  readonly traces: readonly {
    readonly numerics: Numerics;
    readonly mode: EvaluationMode;
    readonly prompt: string;
    readonly nodes: readonly TraceNode[];
  }[];
}

/** How much each file holds; pinned, so that one that lost some cannot pass. */
const MODELS = [
  { name: 'gqa-64', recorded: { runs: 28, rows: 3316, nodes: 209 } },
  { name: 'mha-128', recorded: { runs: 20, rows: 168, nodes: 30 } },
  { name: 'tail-96', recorded: { runs: 20, rows: 168, nodes: 180 } },
  { name: 'tail-32-64x16', recorded: { runs: 18, rows: 166, nodes: 29 } },
  { name: 'one-head', recorded: { runs: 22, rows: 170, nodes: 56 } },
  { name: 'steep-softmax', recorded: { runs: 20, rows: 168, nodes: 30 } },
] as const;

function open(name: string): { vectors: Vectors; bytes: Uint8Array<ArrayBuffer> } {
  const vectors = readJson<Vectors>(new URL(`vectors/${name}.json`, import.meta.url));
  const bytes = readBytes(new URL(`vectors/${vectors.model.file}`, import.meta.url));
  expect(sha256(bytes)).toBe(vectors.model.sha256);
  return { vectors, bytes };
}

describe.each(VARIANTS)('the oracle, %s kernels', (kernels) => {
  test.each(MODELS)(
    '$name: every row and greedy id has the same bits',
    { timeout: 60_000 },
    async ({ name, recorded }) => {
      const { vectors, bytes } = open(name);
      const compared = { runs: 0, rows: 0 };
      for (const numerics of NUMERICS) {
        using model = await loadModel(bytes, { numerics, i2sLayout: vectors.i2sLayout, kernels });
        const session = model.createSession();
        for (const run of vectors.runs.filter((candidate) => candidate.numerics === numerics)) {
          const label = `${numerics} ${run.mode} ${run.prompt}`;
          const ids = vectors.prompts[run.prompt]!;
          const computed = await compute(session, ids, run.mode, run.greedy.length);
          const { rows, greedy, generated } = run;
          const positions = positionsOf(run.mode, ids.length);
          expect({ label, ...computed }).toEqual({ label, positions, rows, greedy, generated });
          compared.runs += 1;
          compared.rows += computed.rows.length;
        }
      }
      expect(compared).toEqual({ runs: recorded.runs, rows: recorded.rows });
    },
  );

  test.each(MODELS)('$name: every traced node has the same bits', { timeout: 60_000 }, async ({ name, recorded }) => {
    const { vectors, bytes } = open(name);
    let compared = 0;
    for (const { numerics, mode, prompt, nodes } of vectors.traces) {
      using model = await loadModel(bytes, { numerics, i2sLayout: vectors.i2sLayout, kernels });
      const ids = vectors.prompts[prompt]!;
      const computed = await trace(model.createSession(), ids, mode);
      const expected = nodes;
      expect(computed, `${numerics} ${mode} ${prompt}`).toEqual(expected);
      compared += computed.length;
    }
    expect(compared).toBe(recorded.nodes);
  });
});

test('digest is that of the f32 little-endian bytes', () => {
  // python3 -c "import hashlib,struct; print(hashlib.sha256(struct.pack('<2f', 1, -2.5)).hexdigest())"
  expect(digest(new Float32Array([7, 1, -2.5]).subarray(1))).toBe(
    '48943f7a0ea247f8e3c9386d0c5822fe181d323a9289980426638cc4e72a43e1',
  );
});
