import { checkedJson } from '../checked-json.ts';
import { CrossvalError } from '../errors.ts';
import type { EvaluationMode, SideIdentity, TraceTap } from '../side.ts';
import { elementsOf, keyOf } from './tap-layout.ts';

/**
 * A trace is a folder of two files.
 *
 * `trace.jsonl` has one JSON object on each line: a {@link TraceHeader}, a {@link TraceEntry} for each operation in
 * execution order, and a {@link TraceFooter} with their number. A file without its footer was cut, and is refused.
 * `values.safetensors` holds each array once under its SHA-256; an operation whose array is not there is known by its
 * digest only, which still proves equality bit for bit.
 */
export const TRACE_FORMAT = 'bittern-trace';
export const TRACE_VERSION = 1;

export interface TraceHeader {
  readonly format: typeof TRACE_FORMAT;
  readonly version: typeof TRACE_VERSION;
  readonly side: SideIdentity;
  readonly mode: EvaluationMode;
  readonly ids: readonly number[];
}

/** What is kept of one operation's result beside its values. Numbers that JSON does not have are null. */
export interface TraceEntry {
  readonly name: string;
  readonly occurrence: number;
  readonly step: number;
  readonly shape: readonly number[];
  /** Of the f32 little-endian bytes, lower-case hex. */
  readonly sha256: string;
  /** How many values are NaN or infinite. */
  readonly nonFinite: number;
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Square root of the mean square. */
  readonly rms: number | null;
  /** The first four values. */
  readonly sample: readonly (number | null)[];
}

export interface TraceFooter {
  /** How many operations there are. */
  readonly taps: number;
  /** The companion file, so that a cut or exchanged one is refused. */
  readonly values: { readonly bytes: number; readonly arrays: number };
}

const SAMPLE = 4;

export function traceHeader(side: SideIdentity, mode: EvaluationMode, ids: readonly number[]): TraceHeader {
  return { format: TRACE_FORMAT, version: TRACE_VERSION, side, mode, ids };
}

/** @param data - the tap's values; `sha256` is their digest */
export function traceEntry(tap: TraceTap, data: Float32Array, sha256: string): TraceEntry {
  const { name, occurrence, step, shape } = tap;
  let nonFinite = 0;
  let [min, max, sum, squares] = [Infinity, -Infinity, 0, 0];
  for (const value of data) {
    if (!Number.isFinite(value)) nonFinite++;
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    squares += value * value;
  }
  const number = (value: number): number | null => (Number.isFinite(value) ? value : null);
  return {
    name,
    occurrence,
    step,
    shape: [...shape],
    sha256,
    nonFinite,
    min: number(min),
    max: number(max),
    mean: number(sum / data.length),
    rms: number(Math.sqrt(squares / data.length)),
    sample: Array.from(data.subarray(0, SAMPLE), number),
  };
}

export interface TraceIndex {
  readonly header: TraceHeader;
  readonly entries: readonly TraceEntry[];
  readonly footer: TraceFooter;
}

function bad(path: string, what: string): CrossvalError {
  return new CrossvalError('CROSSVAL_BAD_TRACE', `trace.jsonl: ${path} ${what}. Record the trace again.`);
}

const { fields, text, name, count, digest, mode, shape, list, filledList } = checkedJson(bad);

/**
 * Checks a `trace.jsonl` from an untrusted source and returns it with its types.
 *
 * @throws CrossvalError CROSSVAL_BAD_TRACE, CROSSVAL_UNSUPPORTED_VERSION, CROSSVAL_TRACE_CUT, CROSSVAL_TRACE_EMPTY
 */
export function parseTraceIndex(jsonl: string): TraceIndex {
  if (jsonl.trim() === '') throw new CrossvalError('CROSSVAL_TRACE_EMPTY', 'trace.jsonl is empty. Record it again.');
  if (!jsonl.endsWith('\n')) throw cut('its last line has no end');
  const lines = jsonl.slice(0, -1).split('\n');
  const header = headerOf(parse(lines[0]!, 'line 1'));
  const last = lines.length - 1;
  const footer = last === 0 ? undefined : footerOf(parse(lines[last]!, `line ${last + 1}`));
  if (footer === undefined) throw cut('it has no footer');
  const entries = lines.slice(1, last).map((line, index) => {
    return entryOf(parse(line, `line ${index + 2}`), `line ${index + 2}`);
  });
  if (footer.taps !== entries.length) throw cut(`it has ${entries.length} operations, its footer says ${footer.taps}`);
  if (entries.length === 0) throw new CrossvalError('CROSSVAL_TRACE_EMPTY', 'trace.jsonl holds no operation.');
  const keys = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    if (keys.has(keyOf(entry))) throw bad(`line ${index + 2}`, 'repeats an earlier operation');
    keys.add(keyOf(entry));
  }
  return { header, entries, footer };
}

function cut(what: string): CrossvalError {
  return new CrossvalError('CROSSVAL_TRACE_CUT', `trace.jsonl was cut short: ${what}. Record it again.`);
}

function parse(line: string, path: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new CrossvalError('CROSSVAL_BAD_TRACE', `trace.jsonl: ${path} is not JSON. Record the trace again.`, {
      cause,
    });
  }
}

function headerOf(value: unknown): TraceHeader {
  const of = fields(value, 'the header', ['format', 'version', 'side', 'mode', 'ids']);
  if (of.format !== TRACE_FORMAT) throw bad('format', `is not "${TRACE_FORMAT}"`);
  if (of.version !== TRACE_VERSION) {
    throw new CrossvalError(
      'CROSSVAL_UNSUPPORTED_VERSION',
      `trace.jsonl has version ${JSON.stringify(of.version)}; this package reads ${TRACE_VERSION}.`,
    );
  }
  return {
    format: TRACE_FORMAT,
    version: TRACE_VERSION,
    side: identityOf(of.side),
    mode: mode(of.mode, 'mode'),
    ids: filledList(of.ids, 'ids', count),
  };
}

function identityOf(value: unknown): SideIdentity {
  const optional = ['build', 'numerics'].filter((key) => Object.hasOwn(Object(value), key));
  const of: Record<string, unknown> = fields(value, 'side', ['name', 'version', 'model', ...optional]);
  const model = fields(of['model'], 'side.model', ['file', 'sha256']);
  return {
    name: name(of['name'], 'side.name'),
    version: name(of['version'], 'side.version'),
    ...(optional.includes('build') ? { build: text(of['build'], 'side.build') } : {}),
    ...(optional.includes('numerics') ? { numerics: text(of['numerics'], 'side.numerics') } : {}),
    model: { file: name(model.file, 'side.model.file'), sha256: digest(model.sha256, 'side.model.sha256') },
  };
}

function entryOf(value: unknown, path: string): TraceEntry {
  const of = fields(value, path, [
    'name',
    'occurrence',
    'step',
    'shape',
    'sha256',
    'nonFinite',
    'min',
    'max',
    'mean',
    'rms',
    'sample',
  ]);
  const number = (item: unknown, at: string): number | null => {
    if (item !== null && typeof item !== 'number') throw bad(at, 'is not a number or null');
    return item;
  };
  const sizes = shape(of.shape, `${path}.shape`);
  const nonFinite = count(of.nonFinite, `${path}.nonFinite`);
  if (elementsOf(sizes) === 0 || nonFinite > elementsOf(sizes)) throw bad(path, 'counts more values than it has');
  return {
    name: name(of.name, `${path}.name`),
    occurrence: count(of.occurrence, `${path}.occurrence`),
    step: count(of.step, `${path}.step`),
    shape: sizes,
    sha256: digest(of.sha256, `${path}.sha256`),
    nonFinite,
    min: number(of.min, `${path}.min`),
    max: number(of.max, `${path}.max`),
    mean: number(of.mean, `${path}.mean`),
    rms: number(of.rms, `${path}.rms`),
    sample: list(of.sample, `${path}.sample`, number),
  };
}

/** Undefined for a line of another kind. */
function footerOf(value: unknown): TraceFooter | undefined {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'taps')) return undefined;
  const of = fields(value, 'the footer', ['taps', 'values']);
  const values = fields(of.values, 'values', ['bytes', 'arrays']);
  return {
    taps: count(of.taps, 'taps'),
    values: { bytes: byteCount(values.bytes), arrays: count(values.arrays, 'values.arrays') },
  };
}

function byteCount(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw bad('values.bytes', 'is no number of bytes');
  return value as number;
}
