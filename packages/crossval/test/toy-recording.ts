import type { RecordingDocument } from '../src/recording-format.ts';
import { writeSafetensors } from '../src/safetensors.ts';
import { sha256, sha256OfFloats } from '../src/sha256.ts';
import type { Side } from '../src/side.ts';
import { topK } from '../src/metrics.ts';
import { fakeSide, MODEL, TOY_CASES, VOCAB_SIZE } from './fake-side.ts';

export interface ToyRecording {
  json: Uint8Array;
  values: Uint8Array;
}

type Mutable<T> = { -readonly [Key in keyof T]: Mutable<T[Key]> };

/** A document that a test may change before it is written. */
export type Draft = Mutable<RecordingDocument>;

/** Records the toy model. `keep` says which digests get values. */
export async function recordToy(
  keep: (what: 'row' | 'generated' | 'tap') => boolean = () => true,
  change: (document: Draft) => void = () => {},
): Promise<ToyRecording> {
  const side: Side = fakeSide();
  const arrays = new Map<string, Float32Array>();
  const pending: Promise<void>[] = [];
  function record(values: Float32Array, what: 'row' | 'generated' | 'tap', done: (digest: string) => void): void {
    const copy = values.slice();
    pending.push(
      sha256OfFloats(copy).then((digest) => {
        if (keep(what)) arrays.set(digest, copy);
        done(digest);
      }),
    );
  }
  const runs: Draft['runs'] = [];
  const traces: Draft['traces'] = [];
  for (const { id, text, parseSpecial, ids, mode, greedyCount, trace } of TOY_CASES) {
    const prompt = Number(id.slice(1, 2));
    const rows: Draft['runs'][number]['rows'] = [];
    const generated: string[] = [];
    const nodes: Draft['traces'][number]['nodes'] = [];
    await side.evaluate(ids, {
      mode,
      onLogits: ({ position, values }) => {
        const row = { position, sha256: '', top: topK(values!, 5).map((at): [number, number] => [at, values![at]!]) };
        rows.push(row);
        record(values!, 'row', (digest) => (row.sha256 = digest));
      },
    });
    const greedy = await side.decode(ids, {
      mode,
      count: greedyCount,
      onLogits: ({ values }) => {
        const index = generated.push('') - 1;
        record(values!, 'generated', (digest) => (generated[index] = digest));
      },
    });
    runs.push({
      prompt,
      text,
      parseSpecial,
      ids: [...ids],
      reference: 'avx512',
      mode,
      rows,
      greedy: [...greedy],
      generated,
    });
    if (!trace) continue;
    await side.trace(ids, {
      mode,
      onTap: ({ name, occurrence, step, shape, data }) => {
        // Of a sequential run the first two steps and the last are kept, as bitnet.cpp's recordings have it.
        if (step > 1 && step < ids.length - 1) return;
        const node = { name, occurrence, step, op: 'TOY', shape: [...shape], sha256: '' };
        nodes.push(node);
        record(data!, 'tap', (digest) => (node.sha256 = digest));
      },
    });
    const steps = [...new Set(nodes.map(({ step }) => step))];
    traces.push({ prompt, reference: 'avx512', mode, ids: [...ids], steps, nodes });
  }
  await Promise.all(pending);
  const values = writeSafetensors(
    [...arrays].map(([name, array]) => [name, { shape: [array.length], values: array }] as const),
  );
  const document: Draft = {
    format: 'bittern-recording',
    version: 1,
    model: { ...MODEL },
    vocabSize: VOCAB_SIZE,
    context: 'toy',
    references: [{ id: 'avx512', name: 'toy', version: '1', build: 'test', numerics: 'avx512' }],
    values: { sha256: await sha256(values), bytes: values.length, arrays: arrays.size },
    runs,
    traces,
  };
  change(document);
  return { json: new TextEncoder().encode(JSON.stringify(document)), values };
}

export function reader({ json, values }: ToyRecording): (file: string) => Promise<Uint8Array> {
  return async (file) => (file === 'recording.json' ? json : values);
}
