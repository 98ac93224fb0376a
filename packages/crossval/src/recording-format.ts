import { expectedPositions } from './case.ts';
import { checkedJson } from './checked-json.ts';
import { CrossvalError } from './errors.ts';
import type { EvaluationMode } from './side.ts';

/**
 * A recorded reference is a folder of two files.
 *
 * `recording.json` says what was computed, every array as the SHA-256 of its f32 little-endian bytes.
 * `values.safetensors` holds arrays under that digest as their name, each once, one-dimensional. An array that is not
 * there is recorded by its digest only, which still proves equality bit for bit.
 */
export const RECORDING_FORMAT = 'bittern-recording';
export const RECORDING_VERSION = 1;

export interface RecordingDocument {
  readonly format: typeof RECORDING_FORMAT;
  readonly version: typeof RECORDING_VERSION;
  readonly model: { readonly file: string; readonly sha256: string };
  /** Length of every row of logits. */
  readonly vocabSize: number;
  /** Settings of the reference, for people. */
  readonly context: string;
  readonly references: readonly RecordedReference[];
  /** The companion file, so that a cut or exchanged one is refused. */
  readonly values: { readonly sha256: string; readonly bytes: number; readonly arrays: number };
  readonly runs: readonly RecordedRun[];
  readonly traces: readonly RecordedTrace[];
}

export interface RecordedReference {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly build: string;
  /** The order of float sums: 'avx2' or 'avx512'. */
  readonly numerics: string;
}

export interface RecordedRun {
  readonly prompt: number;
  readonly text: string;
  readonly parseSpecial: boolean;
  readonly ids: readonly number[];
  readonly reference: string;
  readonly mode: EvaluationMode;
  readonly rows: readonly RecordedRow[];
  readonly greedy: readonly number[];
  /** Digest of the row from which each greedy id was taken. */
  readonly generated: readonly string[];
}

export interface RecordedRow {
  readonly position: number;
  readonly sha256: string;
  /** The five largest logits. */
  readonly top: readonly (readonly [id: number, logit: number])[];
}

export interface RecordedTrace {
  readonly prompt: number;
  readonly reference: string;
  readonly mode: EvaluationMode;
  readonly ids: readonly number[];
  /** The evaluation calls that were kept. */
  readonly steps: readonly number[];
  /** In execution order. */
  readonly nodes: readonly RecordedNode[];
}

export interface RecordedNode {
  readonly name: string;
  readonly occurrence: number;
  readonly step: number;
  /** ggml's operation. */
  readonly op: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

const MAX_TOP = 10;

function bad(path: string, what: string): CrossvalError {
  return new CrossvalError('CROSSVAL_BAD_RECORDING', `recording.json: ${path} ${what}. Make the recording again.`);
}

const { fields, text, name, count, digest, flag, mode, shape, list, filledList } = checkedJson(bad);

function tokenIds(value: unknown, path: string, vocabSize: number): number[] {
  return filledList(value, path, (id, at) => {
    if (count(id, at) >= vocabSize) throw bad(at, `is not below the vocabulary's size, ${vocabSize}`);
    return id as number;
  });
}

function reference(value: unknown, path: string): RecordedReference {
  const of = fields(value, path, ['id', 'name', 'version', 'build', 'numerics']);
  return {
    id: name(of.id, `${path}.id`),
    name: name(of.name, `${path}.name`),
    version: name(of.version, `${path}.version`),
    build: name(of.build, `${path}.build`),
    numerics: name(of.numerics, `${path}.numerics`),
  };
}

function row(value: unknown, path: string, vocabSize: number): RecordedRow {
  const of = fields(value, path, ['position', 'sha256', 'top']);
  const top = filledList(of.top, `${path}.top`, (pair, at): readonly [number, number] => {
    if (!Array.isArray(pair) || pair.length !== 2) throw bad(at, 'is not a pair of id and logit');
    const [id, logit] = pair as [unknown, unknown];
    if (count(id, at) >= vocabSize) throw bad(at, `names an id outside the vocabulary of ${vocabSize}`);
    if (typeof logit !== 'number' || !Number.isFinite(logit)) throw bad(at, 'has a logit that is no finite number');
    return [id as number, logit];
  });
  if (top.length > MAX_TOP) throw bad(`${path}.top`, `has more than ${MAX_TOP} entries`);
  return {
    position: count(of.position, `${path}.position`),
    sha256: digest(of.sha256, `${path}.sha256`),
    top,
  };
}

function run(value: unknown, path: string, vocabSize: number): RecordedRun {
  const of = fields(value, path, [
    'prompt',
    'text',
    'parseSpecial',
    'ids',
    'reference',
    'mode',
    'rows',
    'greedy',
    'generated',
  ]);
  const checked: RecordedRun = {
    prompt: count(of.prompt, `${path}.prompt`),
    text: text(of.text, `${path}.text`),
    parseSpecial: flag(of.parseSpecial, `${path}.parseSpecial`),
    ids: tokenIds(of.ids, `${path}.ids`, vocabSize),
    reference: name(of.reference, `${path}.reference`),
    mode: mode(of.mode, `${path}.mode`),
    rows: filledList(of.rows, `${path}.rows`, (item, at) => row(item, at, vocabSize)),
    greedy: tokenIds(of.greedy, `${path}.greedy`, vocabSize),
    generated: filledList(of.generated, `${path}.generated`, digest),
  };
  const positions = expectedPositions(checked.mode, checked.ids.length);
  if (
    checked.rows.length !== positions.length ||
    checked.rows.some(({ position }, index) => position !== positions[index])
  ) {
    throw bad(
      `${path}.rows`,
      `are not those of ${checked.ids.length} ids in mode ${checked.mode}: expected ${positions.length}`,
    );
  }
  if (checked.generated.length !== checked.greedy.length) {
    throw bad(`${path}.generated`, `has ${checked.generated.length} rows for ${checked.greedy.length} greedy ids`);
  }
  return checked;
}

function node(value: unknown, path: string): RecordedNode {
  const of = fields(value, path, ['name', 'occurrence', 'step', 'op', 'shape', 'sha256']);
  return {
    name: name(of.name, `${path}.name`),
    occurrence: count(of.occurrence, `${path}.occurrence`),
    step: count(of.step, `${path}.step`),
    op: name(of.op, `${path}.op`),
    shape: shape(of.shape, `${path}.shape`),
    sha256: digest(of.sha256, `${path}.sha256`),
  };
}

function trace(value: unknown, path: string, vocabSize: number): RecordedTrace {
  const of = fields(value, path, ['prompt', 'reference', 'mode', 'ids', 'steps', 'nodes']);
  const checked: RecordedTrace = {
    prompt: count(of.prompt, `${path}.prompt`),
    reference: name(of.reference, `${path}.reference`),
    mode: mode(of.mode, `${path}.mode`),
    ids: tokenIds(of.ids, `${path}.ids`, vocabSize),
    steps: filledList(of.steps, `${path}.steps`, count),
    nodes: filledList(of.nodes, `${path}.nodes`, node),
  };
  const steps = [...new Set(checked.nodes.map(({ step }) => step))];
  if (steps.length !== checked.steps.length || steps.some((step, index) => step !== checked.steps[index])) {
    throw bad(`${path}.nodes`, `have the steps ${steps.join(', ')}, not ${checked.steps.join(', ')}`);
  }
  return checked;
}

/** Every item's reference must exist, and neither its prompt number nor its ids may return in the same mode. */
function checkKeys(
  items: readonly (RecordedRun | RecordedTrace)[],
  path: string,
  references: ReadonlySet<string>,
): void {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    if (!references.has(item.reference)) throw bad(`${path}[${index}].reference`, 'is not in "references"');
    const where = `${item.reference} ${item.mode}`;
    for (const key of [`${where} prompt ${item.prompt}`, `${where} ids ${item.ids.join(',')}`]) {
      if (seen.has(key)) throw bad(`${path}[${index}]`, 'repeats an earlier one');
      seen.add(key);
    }
  }
}

/** A reference tokenizes one text in one way. */
function checkTexts(runs: readonly RecordedRun[]): void {
  const idsOf = new Map<string, string>();
  for (const [index, { reference: id, parseSpecial, text: prompt, ids }] of runs.entries()) {
    const key = `${id} ${parseSpecial} ${prompt}`;
    const joined = ids.join(',');
    if ((idsOf.get(key) ?? joined) !== joined) throw bad(`runs[${index}].ids`, 'differ from those of the same text');
    idsOf.set(key, joined);
  }
}

/**
 * Checks a `recording.json` from an untrusted source and returns it with its types.
 *
 * @throws CrossvalError CROSSVAL_BAD_RECORDING, CROSSVAL_UNSUPPORTED_VERSION
 */
export function parseRecordingDocument(json: string): RecordingDocument {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new CrossvalError('CROSSVAL_BAD_RECORDING', 'recording.json is not JSON. Make the recording again.', {
      cause,
    });
  }
  const of = fields(parsed, 'the document', [
    'format',
    'version',
    'model',
    'vocabSize',
    'context',
    'references',
    'values',
    'runs',
    'traces',
  ]);
  if (of.format !== RECORDING_FORMAT) throw bad('format', `is not "${RECORDING_FORMAT}"`);
  if (of.version !== RECORDING_VERSION) {
    throw new CrossvalError(
      'CROSSVAL_UNSUPPORTED_VERSION',
      `recording.json has version ${JSON.stringify(of.version)}; this package reads ${RECORDING_VERSION}.`,
    );
  }
  const vocabSize = count(of.vocabSize, 'vocabSize');
  const model = fields(of.model, 'model', ['file', 'sha256']);
  const values = fields(of.values, 'values', ['sha256', 'bytes', 'arrays']);
  const document: RecordingDocument = {
    format: RECORDING_FORMAT,
    version: RECORDING_VERSION,
    model: { file: name(model.file, 'model.file'), sha256: digest(model.sha256, 'model.sha256') },
    vocabSize,
    context: text(of.context, 'context'),
    references: filledList(of.references, 'references', reference),
    values: {
      sha256: digest(values.sha256, 'values.sha256'),
      bytes: count(values.bytes, 'values.bytes'),
      arrays: count(values.arrays, 'values.arrays'),
    },
    runs: filledList(of.runs, 'runs', (item, path) => run(item, path, vocabSize)),
    traces: list(of.traces, 'traces', (item, path) => trace(item, path, vocabSize)),
  };
  const references = new Set(document.references.map(({ id }) => id));
  if (references.size !== document.references.length) throw bad('references', 'have an id twice');
  checkKeys(document.runs, 'runs', references);
  checkKeys(document.traces, 'traces', references);
  checkTexts(document.runs);
  return document;
}
