import { notFinite } from './decode.ts';

/**
 * Ids of the `count` largest logits, largest first, equal ones by id.
 *
 * @throws {EngineError} ENGINE_NOT_FINITE
 */
export function largest(logits: Float32Array, count: number): number[] {
  const bad = logits.findIndex((logit) => !Number.isFinite(logit));
  if (bad >= 0) throw notFinite(bad, logits[bad]!);
  if (count === logits.length) {
    return Array.from(logits.keys()).toSorted((a, b) => logits[b]! - logits[a]! || a - b);
  }
  const ids: number[] = []; // insertion: few, of many
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (ids.length === count && logit <= logits[ids[count - 1]!]!) continue;
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (logits[ids[middle]!]! >= logit) low = middle + 1;
      else high = middle;
    }
    ids.splice(low, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}
