import type { LadderCase } from './case.ts';
import { CrossvalError } from './errors.ts';
import { firstNonFinite, topK } from './metrics.ts';
import {
  parseRecordingDocument,
  type RecordedReference,
  type RecordedRow,
  type RecordingDocument,
} from './recording-format.ts';
import { readSafetensors } from './safetensors.ts';
import { sha256, sha256OfFloats } from './sha256.ts';
import type { EvaluationMode, LogitsRow, Side } from './side.ts';

const MAX_DOCUMENT_BYTES = 64 * 2 ** 20;

/** Arrays under the SHA-256 of their bytes, all checked. */
type Values = ReadonlyMap<string, Float32Array>;

/** What a reference computed, read from files. */
export interface Recording {
  readonly model: { readonly file: string; readonly sha256: string };
  readonly vocabSize: number;
  readonly context: string;
  readonly references: readonly RecordedReference[];
  /** Every recorded prompt and mode of a reference. */
  cases(reference: string): readonly LadderCase[];
  /** The reference as a side of a comparison. What was not recorded is refused with CROSSVAL_NOT_RECORDED. */
  side(reference: string): Side;
}

/**
 * Opens a recorded reference and verifies every digest for which the bytes are there.
 *
 * @throws CrossvalError CROSSVAL_BAD_RECORDING, CROSSVAL_UNSUPPORTED_VERSION, CROSSVAL_BAD_SAFETENSORS,
 *   CROSSVAL_DIGEST_MISMATCH, CROSSVAL_NON_FINITE
 */
export async function openRecording(
  read: (file: 'recording.json' | 'values.safetensors') => Promise<Uint8Array>,
): Promise<Recording> {
  const json = await read('recording.json');
  if (json.length > MAX_DOCUMENT_BYTES) {
    throw bad(`recording.json has ${json.length} bytes, more than ${MAX_DOCUMENT_BYTES}`);
  }
  const document = parseRecordingDocument(new TextDecoder().decode(json));
  const values = await readValues(await read('values.safetensors'), document);
  checkAgainstValues(document, values);
  return {
    model: document.model,
    vocabSize: document.vocabSize,
    context: document.context,
    references: document.references,
    cases: (reference) => casesOf(document, referenceOf(document, reference)),
    side: (reference) => sideOf(document, values, referenceOf(document, reference)),
  };
}

function bad(what: string): CrossvalError {
  return new CrossvalError('CROSSVAL_BAD_RECORDING', `${what}. Make the recording again.`);
}

function notRecorded(what: string): CrossvalError {
  return new CrossvalError('CROSSVAL_NOT_RECORDED', `The recording does not hold ${what}.`);
}

function referenceOf(document: RecordingDocument, id: string): RecordedReference {
  const found = document.references.find((reference) => reference.id === id);
  if (found === undefined) {
    const known = document.references.map((reference) => reference.id).join(', ');
    throw notRecorded(`a reference "${id}"; it has ${known}`);
  }
  return found;
}

async function readValues(bytes: Uint8Array, { values: expected }: RecordingDocument): Promise<Values> {
  if (bytes.length !== expected.bytes || (await sha256(bytes)) !== expected.sha256) {
    throw new CrossvalError(
      'CROSSVAL_DIGEST_MISMATCH',
      `values.safetensors (${bytes.length} bytes) is not the file that recording.json describes (${expected.bytes} bytes, SHA-256 ${expected.sha256}).`,
    );
  }
  const values = new Map<string, Float32Array>();
  for (const [name, array] of readSafetensors(bytes)) {
    const digest = await sha256OfFloats(array.values);
    if (digest !== name) {
      throw new CrossvalError('CROSSVAL_DIGEST_MISMATCH', `values.safetensors: array ${name} has SHA-256 ${digest}.`);
    }
    const index = firstNonFinite(array.values);
    if (index !== undefined) {
      throw new CrossvalError(
        'CROSSVAL_NON_FINITE',
        `values.safetensors: array ${name} has ${array.values[index]} at index ${index}; such a recording is no evidence.`,
      );
    }
    values.set(name, array.values);
  }
  if (values.size !== expected.arrays) {
    throw bad(`values.safetensors has ${values.size} arrays, recording.json says ${expected.arrays}`);
  }
  return values;
}

/** Lengths, top logits and greedy ids must follow from the arrays, and every array must be part of something. */
function checkAgainstValues({ runs, traces, vocabSize }: RecordingDocument, values: Values): void {
  const used = new Set<string>();
  function lookUp(digest: string, length: number, path: string): Float32Array | undefined {
    const array = values.get(digest);
    if (array === undefined) return undefined;
    used.add(digest);
    if (array.length !== length) throw bad(`${path} has ${array.length} values, not ${length}`);
    return array;
  }
  for (const [runIndex, run] of runs.entries()) {
    for (const [index, row] of run.rows.entries()) {
      const path = `runs[${runIndex}].rows[${index}]`;
      const array = lookUp(row.sha256, vocabSize, path);
      if (array !== undefined && !sameTop(row, array)) throw bad(`${path}.top is not that of the row's values`);
    }
    for (const [index, digest] of run.generated.entries()) {
      const path = `runs[${runIndex}].generated[${index}]`;
      const array = lookUp(digest, vocabSize, path);
      if (array !== undefined && topK(array, 1)[0] !== run.greedy[index]) {
        throw bad(`${path} has its largest logit elsewhere than greedy[${index}]`);
      }
    }
    if (run.generated[0] !== run.rows.at(-1)?.sha256) {
      throw bad(`runs[${runIndex}].generated[0] is not the prompt's last row`);
    }
  }
  for (const [traceIndex, trace] of traces.entries()) {
    for (const [index, node] of trace.nodes.entries()) {
      const length = node.shape.reduce((product, size) => product * size, 1);
      lookUp(node.sha256, length, `traces[${traceIndex}].nodes[${index}]`);
    }
  }
  if (used.size !== values.size) {
    throw bad(`values.safetensors has ${values.size - used.size} arrays that nothing refers to`);
  }
}

function sameTop(row: RecordedRow, values: Float32Array): boolean {
  return topK(values, row.top.length).every((id, rank) => {
    const recorded = row.top[rank];
    return recorded !== undefined && recorded[0] === id && recorded[1] === values[id];
  });
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index]);
}

function casesOf({ runs, traces }: RecordingDocument, { id: reference }: RecordedReference): LadderCase[] {
  return runs
    .filter((run) => run.reference === reference)
    .map((run) => ({
      id: `p${run.prompt}.${run.mode}`,
      text: run.text,
      parseSpecial: run.parseSpecial,
      ids: run.ids,
      mode: run.mode,
      greedyCount: run.greedy.length,
      trace: traces.some(
        (trace) => trace.reference === reference && trace.mode === run.mode && sameIds(trace.ids, run.ids),
      ),
    }));
}

function sideOf(document: RecordingDocument, values: Values, reference: RecordedReference): Side {
  const runs = document.runs.filter((run) => run.reference === reference.id);

  function find<T extends { readonly ids: readonly number[]; readonly mode: EvaluationMode }>(
    items: readonly T[],
    ids: readonly number[],
    mode: EvaluationMode,
    what: string,
  ): T {
    const found = items.find((item) => item.mode === mode && sameIds(item.ids, ids));
    if (found === undefined) throw notRecorded(`${what} of these ${ids.length} ids by ${reference.id} in mode ${mode}`);
    return found;
  }

  function rowOf(position: number, digest: string, top?: RecordedRow['top']): LogitsRow {
    const array = values.get(digest);
    return {
      position,
      sha256: digest,
      ...(array === undefined ? {} : { values: array }),
      ...(top === undefined ? {} : { top }),
    };
  }

  return {
    identity: {
      name: reference.name,
      version: reference.version,
      build: reference.build,
      numerics: reference.numerics,
      model: document.model,
    },
    async tokenize(text, { parseSpecial, signal }) {
      signal?.throwIfAborted();
      const run = runs.find((candidate) => candidate.text === text && candidate.parseSpecial === parseSpecial);
      if (run === undefined) throw notRecorded(`the ids of ${JSON.stringify(text)} with parseSpecial ${parseSpecial}`);
      return run.ids;
    },
    async evaluate(ids, { mode, onLogits, signal }) {
      for (const row of find(runs, ids, mode, 'the logits').rows) {
        signal?.throwIfAborted();
        onLogits(rowOf(row.position, row.sha256, row.top));
      }
    },
    async decode(ids, { mode, count, onLogits, signal }) {
      const run = find(runs, ids, mode, 'a greedy continuation');
      if (count > run.greedy.length) throw notRecorded(`${count} greedy ids, only ${run.greedy.length}`);
      for (const [index, digest] of run.generated.slice(0, count).entries()) {
        signal?.throwIfAborted();
        onLogits?.(rowOf(ids.length - 1 + index, digest));
      }
      return run.greedy.slice(0, count);
    },
    async trace(ids, { mode, onTap, signal }) {
      const traces = document.traces.filter((trace) => trace.reference === reference.id);
      for (const { name, occurrence, step, shape, sha256: digest } of find(traces, ids, mode, 'a trace').nodes) {
        signal?.throwIfAborted();
        const array = values.get(digest);
        onTap({ name, occurrence, step, shape, sha256: digest, ...(array === undefined ? {} : { data: array }) });
      }
    },
  };
}
