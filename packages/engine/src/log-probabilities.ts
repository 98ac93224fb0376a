import { largest } from './largest.ts';
import { exponential } from './sampling.ts';

/** An id and the logarithm of its probability, to base e. */
export type TokenLogProbability = readonly [id: number, logprob: number];

/**
 * Log-probabilities by the model itself, before penalties, temperature and cuts: logit - log(sum of e^logit), in f64.
 *
 * @param count - how many of the most likely ids
 */
export function logProbabilities(
  logits: Float32Array,
  id: number,
  count: number,
): { readonly logprob: number; readonly top: readonly TokenLogProbability[] } {
  const logTotal = logSumExp(logits);
  const logprobOf = (of: number): number => logits[of]! - logTotal;
  const top = count === 0 ? [] : Array.from(largest(logits, count).ids);
  return { logprob: logprobOf(id), top: top.map((other) => [other, logprobOf(other)]) };
}

/** log(sum of e^logit), in f64 and in order of id. */
export function logSumExp(logits: Float32Array): number {
  let most = -Infinity;
  for (const logit of logits) if (!(logit <= most)) most = logit; // NaN stays
  let total = 0;
  for (const logit of logits) total += exponential(logit - most);
  return most + Math.log(total);
}
