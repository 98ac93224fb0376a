import { notFinite } from './decode.ts';
import { EngineError } from './errors.ts';
import { indicesOfLargest, type Logits } from './top-logits.ts';

/** Ids of logits and these logits, largest first, equal ones by id. */
interface Largest {
  readonly ids: ArrayLike<number>;
  readonly logits: readonly number[];
}

/**
 * The `topK` largest logits; 0 for all.
 *
 * @throws {EngineError} ENGINE_NOT_FINITE; ENGINE_NEEDS_ALL_LOGITS where `row` is not as many
 */
export function largest(row: Logits, topK: number): Largest {
  const { vocabSize, ids, logits } = 'ids' in row ? row : { vocabSize: row.length, ids: undefined, logits: row };
  const bad = logits.findIndex((logit) => !Number.isFinite(logit));
  if (bad >= 0) throw notFinite(ids?.[bad] ?? bad, logits[bad]!);
  const count = topK === 0 ? vocabSize : Math.min(topK, vocabSize);
  if (count > logits.length) throw choosesAmongMore(topK, logits.length);
  const indices = ids ? Array.from({ length: count }, (_, index) => index) : indicesOfLargest(logits, count);
  return { ids: ids ?? indices, logits: indices.map((index) => logits[index]!) };
}

/** @param given - how many logits a screened session gives */
export function choosesAmongMore(topK: number, given: number): EngineError {
  return new EngineError(
    'ENGINE_NEEDS_ALL_LOGITS',
    `This sampler chooses among ${topK === 0 ? 'all logits' : `the ${topK} largest logits`}, and the screened session gives ${given}. Use a session with a larger topK or the exact head, or sample with a topK of at most ${given}.`,
  );
}
