import type { LadderCase } from './case.ts';
import { CrossvalError } from './errors.ts';
import { topK } from './metrics.ts';
import type { RecordedNode, RecordedReference, RecordedRow, RecordedRun, RecordedTrace } from './recording-format.ts';
import { sha256OfFloats } from './sha256.ts';
import type { LogitsRow, Side } from './side.ts';
import { type RecordingFiles, writeRecording } from './write-recording.ts';

export interface RecordOptions {
  /** Its identity is what the recording says of the reference; version, build and numerics must be there. */
  readonly side: Side;
  /** Name of the reference within the recording. */
  readonly id: string;
  readonly cases: readonly LadderCase[];
  /** Settings of the reference, for people. */
  readonly context: string;
  /** Keep the values of every traced operation; otherwise those of the attention probabilities, and digests. Default: false. */
  readonly traceValues?: boolean;
  readonly onProgress?: (progress: { readonly case: string; readonly done: number; readonly total: number }) => void;
  readonly signal?: AbortSignal;
}

const TOP = 5;
/** The mask rung of the ladder reads them. */
const ATTENTION_PROBABILITIES = /^kq_soft_max_ext-\d+$/;

/**
 * Runs every case on a side and makes a recording of it: rows of the prompt, greedy continuation with the rows from which it
 * was taken, and traces of the cases that ask for one.
 *
 * @throws CrossvalError CROSSVAL_NOT_RECORDED for a side that gives no values; what the side throws; `signal.reason`
 */
export async function recordSide(options: RecordOptions): Promise<RecordingFiles> {
  const { side, id, cases, context, traceValues = false, onProgress, signal } = options;
  const arrays = new Map<string, Float32Array>();
  const runs: RecordedRun[] = [];
  const traces: RecordedTrace[] = [];
  const prompts: string[] = [];
  let vocabSize = 0;
  const keep = async (values: Float32Array): Promise<string> => {
    const digest = await sha256OfFloats(values);
    arrays.set(digest, values);
    return digest;
  };
  for (const [done, { id: name, text, parseSpecial, ids, mode, greedyCount, trace }] of cases.entries()) {
    signal?.throwIfAborted();
    onProgress?.({ case: name, done, total: cases.length });
    const common = { mode, ...(signal === undefined ? {} : { signal }) };
    const key = JSON.stringify([text, parseSpecial]);
    if (!prompts.includes(key)) prompts.push(key);
    const prompt = prompts.indexOf(key);

    const evaluated: { position: number; values: Float32Array }[] = [];
    await side.evaluate(ids, { ...common, onLogits: (row) => evaluated.push(copyOf(row)) });
    const rows: RecordedRow[] = [];
    for (const { position, values } of evaluated) {
      vocabSize = values.length;
      const top = topK(values, TOP).map((token) => [token, values[token]!] as const);
      rows.push({ position, sha256: await keep(values), top });
    }

    const decoded: Float32Array[] = [];
    const greedy = await side.decode(ids, {
      ...common,
      count: greedyCount,
      onLogits: (row) => decoded.push(copyOf(row).values),
    });
    const generated: string[] = [];
    for (const values of decoded) generated.push(await keep(values));
    runs.push({ prompt, text, parseSpecial, ids, reference: id, mode, rows, greedy, generated });
    if (!trace) continue;

    const taps: { node: Omit<RecordedNode, 'sha256'>; values: Float32Array }[] = [];
    await side.trace(ids, {
      ...common,
      onTap: ({ name: node, occurrence, step, shape, op, data }) => {
        if (data === undefined || op === undefined) throw notRecorded(`${node} has no values or no operation`);
        taps.push({ node: { name: node, occurrence, step, op, shape }, values: data.slice() });
      },
    });
    const nodes: RecordedNode[] = [];
    for (const { node, values } of taps) {
      const kept = traceValues || ATTENTION_PROBABILITIES.test(node.name);
      nodes.push({ ...node, sha256: kept ? await keep(values) : await sha256OfFloats(values) });
    }
    traces.push({ prompt, reference: id, mode, ids, steps: [...new Set(nodes.map(({ step }) => step))], nodes });
  }
  const { model } = side.identity;
  return await writeRecording({ model, vocabSize, context, references: [referenceOf(side, id)], runs, traces }, arrays);
}

function referenceOf({ identity }: Side, id: string): RecordedReference {
  const { name, version, build, numerics } = identity;
  if (build === undefined || numerics === undefined) throw notRecorded(`${name} does not say its build and numerics`);
  return { id, name, version, build, numerics };
}

function copyOf({ position, values }: LogitsRow): { position: number; values: Float32Array } {
  if (values === undefined) throw notRecorded(`the row of position ${position} has no values`);
  return { position, values: values.slice() };
}

function notRecorded(what: string): CrossvalError {
  return new CrossvalError('CROSSVAL_NOT_RECORDED', `Nothing was recorded: ${what}.`);
}
