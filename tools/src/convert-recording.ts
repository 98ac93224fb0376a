import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type EvaluationMode,
  type RecordedRun,
  type RecordedTrace,
  type RecordingFiles,
  sha256OfFloats,
  writeRecording,
} from '@bittern/crossval';
import { readNpy } from './npy.ts';

/** `index.json` of a folder of recordings as the recorder writes it (.npy files beside it). */
interface SourceIndex {
  readonly model: { readonly file: string; readonly sha256: string };
  readonly references: Readonly<
    Record<string, { readonly name: string; readonly version: string; readonly build: string }>
  >;
  readonly context: string;
  readonly recordings: readonly SourceRun[];
}

interface SourceRow {
  readonly position: number;
  readonly top5: readonly (readonly [number, number])[];
  readonly sha256: string;
}

interface SourceRun {
  readonly prompt: number;
  readonly text: string;
  readonly ids: readonly number[];
  readonly reference: string;
  readonly mode: EvaluationMode;
  readonly rows: readonly SourceRow[];
  /** A .npy file, or null where only the digests of the rows were kept. */
  readonly logits: string | null;
  readonly greedy: readonly number[];
  readonly generated: string | null;
  /** In recordings whose `generated` may be absent, or hold only the first rows. */
  readonly generated_rows?: readonly SourceRow[];
}

interface SourceTrace {
  readonly model: { readonly sha256: string };
  readonly mode: EvaluationMode;
  readonly ids: readonly number[];
  readonly steps: readonly number[];
  readonly nodes: readonly {
    readonly name: string;
    readonly occurrence: number;
    readonly step: number;
    readonly op: string;
    readonly shape: readonly number[];
    /** In bytes, into the data of values.npy. */
    readonly offset: number;
    readonly sha256: string;
  }[];
}

export interface ConvertOptions {
  /** Folder with `index.json`. */
  readonly reference: string;
  /** SHA-256 of the model file at hand, which must be the recorded one. */
  readonly modelSha256: string;
  /** Traces whose values are kept, as `p0.avx512.batch-all`; the others keep digests. `all` keeps every one. */
  readonly traceValues: readonly string[];
}

/** Nodes whose values are always kept: few bytes, and the mask rung of the ladder reads them. */
const ATTENTION_PROBABILITIES = /^kq_soft_max_ext-\d+$/;

/** Arrays under the SHA-256 of their bytes, in the order of first use. */
class ArrayStore {
  readonly arrays = new Map<string, Float32Array>();

  /** Keeps an array and returns its digest, which must be the recorded one where there is one. */
  async add(values: Float32Array, recorded: string | undefined, name: string): Promise<string> {
    const digest = await sha256OfFloats(values);
    if (recorded !== undefined && digest !== recorded) {
      throw new Error(`${name} has SHA-256 ${digest}, its index says ${recorded}.`);
    }
    this.arrays.set(digest, values);
    return digest;
  }
}

async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, 'utf8')) as T;
}

/**
 * Converts a folder of recordings into the two files that `openRecording` reads, and opens them as a check.
 * The same input gives the same bytes.
 */
export async function convertRecording(options: ConvertOptions): Promise<RecordingFiles> {
  const folder = options.reference;
  const index = await readJson<SourceIndex>(join(folder, 'index.json'));
  if (index.model.sha256 !== options.modelSha256) {
    throw new Error(`${folder} was recorded with model ${index.model.sha256}, not ${options.modelSha256}.`);
  }
  const store = new ArrayStore();
  const runs: RecordedRun[] = [];
  let vocabSize: number | undefined;
  for (const source of index.recordings) {
    const logits = await readRows(folder, source.logits);
    const generatedLogits = await readRows(folder, source.generated);
    vocabSize ??= logits[0]?.length;
    for (const [at, values] of logits.entries()) {
      await store.add(values, source.rows[at]?.sha256, `${source.logits} row ${at}`);
    }
    const generated: string[] = [];
    for (const at of source.greedy.keys()) {
      const recorded = source.generated_rows?.[at]?.sha256;
      const values = generatedLogits[at];
      const digest =
        values === undefined ? recorded : await store.add(values, recorded, `${source.generated} row ${at}`);
      if (digest === undefined) throw new Error(`Prompt ${source.prompt} lacks generated row ${at}.`);
      generated.push(digest);
    }
    runs.push({
      prompt: source.prompt,
      text: source.text,
      // The recorder parses special tokens in every prompt.
      parseSpecial: true,
      ids: source.ids,
      reference: source.reference,
      mode: source.mode,
      rows: source.rows.map((row) => ({ position: row.position, sha256: row.sha256, top: row.top5 })),
      greedy: source.greedy,
      generated,
    });
  }
  const traces: RecordedTrace[] = [];
  const folders = (await readdir(folder)).filter((name) => name.startsWith('trace.')).toSorted();
  for (const name of folders) traces.push(await convertTrace(folder, name, index, store, options.traceValues));
  if (vocabSize === undefined) throw new Error(`${folder} has no row of logits with values.`);

  return await writeRecording(
    {
      model: index.model,
      vocabSize,
      context: index.context,
      references: Object.entries(index.references).map(([id, { name, version, build }]) => ({
        id,
        name,
        version,
        build,
        numerics: id,
      })),
      runs,
      traces,
    },
    store.arrays,
  );
}

/** The rows of a .npy file [rows, vocabulary]; none where there is no file. */
async function readRows(folder: string, file: string | null): Promise<Float32Array[]> {
  if (file === null) return [];
  const { shape, values } = readNpy(await readFile(join(folder, file)), file);
  const [count, length] = shape;
  if (shape.length !== 2 || count === undefined || length === undefined) throw new Error(`${file} is no matrix.`);
  return Array.from({ length: count }, (_, row) => values.subarray(row * length, (row + 1) * length));
}

async function convertTrace(
  folder: string,
  name: string,
  index: SourceIndex,
  store: ArrayStore,
  traceValues: readonly string[],
): Promise<RecordedTrace> {
  const match = /^trace\.(p(\d+)\.([^.]+)\.[^.]+)$/.exec(name);
  if (match === null) throw new Error(`${name} is not named trace.pN.REFERENCE.MODE.`);
  const [, id, prompt, reference] = match as unknown as [string, string, string, string];
  const source = await readJson<SourceTrace>(join(folder, name, 'index.json'));
  if (source.model.sha256 !== index.model.sha256) throw new Error(`${name} was recorded with another model.`);
  const { values } = readNpy(await readFile(join(folder, name, 'values.npy')), `${name}/values.npy`);
  const keepAll = traceValues.includes('all') || traceValues.includes(id);
  for (const node of source.nodes) {
    if (!keepAll && !ATTENTION_PROBABILITIES.test(node.name)) continue;
    const start = node.offset / 4;
    const length = node.shape.reduce((product, size) => product * size, 1);
    await store.add(values.subarray(start, start + length), node.sha256, `${name} ${node.name}`);
  }
  return {
    prompt: Number(prompt),
    reference,
    mode: source.mode,
    ids: source.ids,
    steps: source.steps,
    nodes: source.nodes.map((node) => ({
      name: node.name,
      occurrence: node.occurrence,
      step: node.step,
      op: node.op,
      shape: node.shape,
      sha256: node.sha256,
    })),
  };
}
