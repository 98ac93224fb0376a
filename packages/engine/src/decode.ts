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

/** Chooses the next id from a row of logits. */
export type Sampler<Row extends Logits = Float32Array> = (logits: Row) => number;

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

export interface GenerateOptions<Row extends Logits = Float32Array> {
  /** Most ids to generate. */
  readonly maxTokens: number;
  /** Default: {@link argmax}. */
  readonly sampler?: Sampler<Row>;
  /** Ids that end the generation; they are yielded last. Default none. */
  readonly stopIds?: ReadonlySet<number>;
  /** Called with the logits from which each id was chosen, valid during the call only. */
  readonly onLogits?: (row: Row) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Continues after `logits`, the result of the evaluation before, one token at a time.
 *
 * Ends after `maxTokens`, a stop id, or when the context is full; the last id is not evaluated.
 */
export async function* generate<Row extends Logits>(
  session: Session<Row>,
  logits: Row,
  options: GenerateOptions<Row>,
): AsyncGenerator<number, void, undefined> {
  const { maxTokens, sampler = argmax, stopIds, onLogits, signal } = options;
  refuseUnknownOptions(options, ['maxTokens', 'sampler', 'stopIds', 'onLogits', 'signal']);
  if (!(Number.isInteger(maxTokens) && maxTokens >= 0))
    throw new RangeError(`maxTokens ${maxTokens} is not a whole number from 0 up.`);
  let row = logits;
  for (let count = 1; count <= maxTokens; count++) {
    signal?.throwIfAborted();
    onLogits?.(row);
    const id = sampler(row);
    yield id;
    if (count === maxTokens || stopIds?.has(id) || session.position === session.contextLength) return;
    row = await session.evaluate([id], { signal });
  }
}
