import { EngineError } from './errors.ts';
import { refuseUnknownOptions, refuseUnlessOneOf } from './options.ts';
import type { EvaluateOptions, Session } from './session.ts';
import type { Logits } from './top-logits.ts';

/**
 * How a prompt is evaluated. Three different numerics, because the reference's arithmetic depends on the batch
 * (numerics, sections 5.3 and 5.4):
 *
 * - `batch-all`: micro-batches of 512, logits for every position
 * - `batch-last`: the same, logits for the last position only
 * - `sequential`: one token at a time, logits for every position
 */
export type EvaluationMode = 'batch-all' | 'batch-last' | 'sequential';

export const EVALUATION_MODES: readonly EvaluationMode[] = ['batch-all', 'batch-last', 'sequential'];

/**
 * Evaluates a prompt in `mode`.
 *
 * @returns logits of the last position, f32 [vocabSize] or the largest
 */
export async function prefill<Row extends Logits>(
  session: Session<Row>,
  ids: readonly number[],
  mode: EvaluationMode,
  options: Omit<EvaluateOptions<Row>, 'logits'> = {},
): Promise<Row> {
  refuseUnlessOneOf('mode', mode, EVALUATION_MODES);
  if (mode !== 'sequential')
    return session.evaluate(ids, { ...options, logits: mode === 'batch-all' ? 'all' : 'last' });
  session.checkIds(ids); // all of them before the first is evaluated
  let logits: Row | undefined;
  for (const id of ids) logits = await session.evaluate([id], options);
  return logits!;
}

/**
 * Chooses the next id from a row of logits.
 *
 * @param previous - ids before it, the nearest last: as many as there are, up to {@link REPETITION_WINDOW}
 */
export type Sampler<Row extends Logits = Float32Array> = (logits: Row, previous?: readonly number[]) => number;

/** How many ids back a repetition counts as one; llama.cpp's default. */
export const REPETITION_WINDOW = 64;

/**
 * The lowest id with the largest logit.
 *
 * @throws {EngineError} ENGINE_NOT_FINITE if a logit is NaN or infinite
 */
export function argmax(logits: Logits): number {
  if ('ids' in logits) {
    const [id, logit] = [logits.ids[0]!, logits.logits[0]!];
    if (!Number.isFinite(logit)) throw notFinite(id, logit);
    return id;
  }
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (!Number.isFinite(logit)) throw notFinite(id, logit);
    if (logit > logits[best]!) best = id;
  }
  return best;
}

export function notFinite(id: number, logit: number): EngineError {
  return new EngineError(
    'ENGINE_NOT_FINITE',
    `The logit of id ${id} is ${logit}: the model or its weights are damaged.`,
  );
}

/** What a generation runs on. A {@link Session} is one. */
export interface Decoder<Row extends Logits = Float32Array> extends Pick<
  Session<Row>,
  'contextLength' | 'topK' | 'position' | 'ids' | 'reusable' | 'evaluate' | 'prompt' | 'firstNotFinite'
> {}

export interface GenerateOptions<Row extends Logits = Float32Array> {
  /** Most ids to generate. */
  readonly maxTokens: number;
  /** Default: {@link argmax}. */
  readonly sampler?: Sampler<Row>;
  /** Ids that end the generation; they are yielded last. Default none. */
  readonly stopIds?: ReadonlySet<number>;
  /** Called with the logits from which each id is chosen, valid until the next id is asked for. */
  readonly onLogits?: (row: Row) => void;
  /**
   * What happens when the context is full: default, the generation ends. With a shift, the first `keep` ids and the newer
   * half of the others stay, and are evaluated again as a prompt; so what follows has the bits of that shorter prompt.
   */
  readonly shift?: { readonly keep: number } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Continues after `logits`, the result of the evaluation before, one token at a time.
 *
 * Ends after `maxTokens`, a stop id, or when the context is full; the last id is not evaluated.
 *
 * @throws {EngineError} ENGINE_NOT_FINITE for logits that are not finite: it names the position and where the first value
 *   that is not was computed
 */
export async function* generate<Row extends Logits>(
  session: Decoder<Row>,
  logits: Row,
  options: GenerateOptions<Row>,
): AsyncGenerator<number, void, undefined> {
  const { maxTokens, sampler = argmax, stopIds, onLogits, shift, signal } = options;
  refuseUnknownOptions(options, ['maxTokens', 'sampler', 'stopIds', 'onLogits', 'shift', 'signal']);
  refuseBadLimits(session, options);
  const { contextLength } = session;
  let row = logits;
  let into: Extract<Row, Float32Array> | undefined;
  for (let count = 1; count <= maxTokens; count++) {
    signal?.throwIfAborted();
    onLogits?.(row);
    const id = await choose(session, sampler, row);
    yield id;
    if (count === maxTokens || stopIds?.has(id)) return;
    // The first row is the caller's. Those of a screened session are short, and new each time.
    if (row instanceof Float32Array) into ??= new Float32Array(row.length) as Extract<Row, Float32Array>;
    if (session.position < contextLength) {
      row = await session.evaluate([id], { into, signal });
    } else {
      if (!shift) return;
      const newer = Math.floor((contextLength - shift.keep) / 2);
      const ids = session.ids();
      const kept = [...ids.slice(0, shift.keep), ...ids.slice(contextLength - newer + 1), id];
      row = await session.prompt(kept, { into, signal });
    }
  }
}

/** @throws {RangeError} */
export function refuseBadLimits(
  { contextLength }: Pick<Decoder, 'contextLength'>,
  { maxTokens, shift }: Pick<GenerateOptions, 'maxTokens' | 'shift'>,
): void {
  if (!((Number.isInteger(maxTokens) || maxTokens === Infinity) && maxTokens >= 0))
    throw new RangeError(`maxTokens ${maxTokens} is not a whole number from 0 up.`);
  if (shift && !(Number.isInteger(shift.keep) && shift.keep >= 0 && shift.keep < contextLength - 1))
    throw new RangeError(`shift.keep ${shift.keep} is not a whole number from 0 to ${contextLength - 2}.`);
}

async function choose<Row extends Logits>(session: Decoder<Row>, sampler: Sampler<Row>, row: Row): Promise<number> {
  try {
    return sampler(row, session.ids(Math.max(0, session.position - REPETITION_WINDOW)));
  } catch (error) {
    if (!(error instanceof EngineError && error.code === 'ENGINE_NOT_FINITE')) throw error;
    const first = await session.firstNotFinite();
    const where = first
      ? `The first value that is not finite is ${first.value} in node ${first.tap.name} (occurrence ${first.tap.occurrence}, element ${first.index}), of the tokens at positions ${first.positions.join(' to ')}.`
      : 'No node of the graph has such a value: it came from elsewhere.';
    throw new EngineError(
      'ENGINE_NOT_FINITE',
      `The logits at position ${session.position - 1} are not finite. ${where} ${error.message}`,
      { cause: error },
    );
  }
}
