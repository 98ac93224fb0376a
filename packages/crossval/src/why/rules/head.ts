import type { Finding } from '../causes.ts';
import { differingColumns, relativeError, rowsOf, scaleBetween, shiftBetween, short } from '../measure.ts';
import type { Scene } from '../scene.ts';
import { smallError } from './attention.ts';

/** Ids are shifted by at most this in a search for the offset. */
const MOST_SHIFT = 64;

/** Logits differ though the last norm is equal. */
export function headCauses({ theirs, mine, layout }: Scene): Finding[] {
  const [a, b] = [rowsOf(theirs, layout)[0]!, rowsOf(mine, layout)[0]!];
  const errors = a.map((row, at) => relativeError(row, b[at]!));
  const worst = errors.indexOf(Math.max(...errors));
  return rowCauses('result_output', a[worst]!, b[worst]!);
}

/** What may have happened to one row of logits. */
export function rowCauses(name: string, theirs: Float32Array, mine: Float32Array): Finding[] {
  const columns = differingColumns(theirs, mine, theirs.length);
  const { factor, residual } = scaleBetween(theirs, mine);
  if (residual < 1e-6 && Math.abs(factor - 1) > 1e-6) {
    return [{ id: 'logit-scale', strength: 0.97, evidence: `${name} is the reference times ${short(factor)}` }];
  }
  const shift = shiftBetween(theirs, mine, MOST_SHIFT);
  if (shift !== undefined) {
    return [
      {
        id: 'vocabulary-offset',
        strength: 0.97,
        evidence: `the logit of id i is the reference's of id i ${shift > 0 ? '+' : '-'} ${Math.abs(shift)}`,
      },
      { id: 'tied-head', strength: 0.5, evidence: 'the head reads other rows' },
    ];
  }
  const some = `${name} differs for ${columns.size} of ${theirs.length} ids: ${[...columns].slice(0, 8).join(', ')}`;
  if (columns.size <= theirs.length / 4) {
    return [
      { id: 'embedding-rows', strength: 0.93, evidence: `${some}; the head reads the embedding's rows` },
      { id: 'tied-head', strength: 0.5, evidence: some },
    ];
  }
  const error = relativeError(theirs, mine);
  const small = smallError(name, error);
  if (small.length > 0) return [...small, { id: 'tied-head', strength: 0.2, evidence: some }];
  return [
    { id: 'tied-head', strength: 0.9, evidence: `${some}, by ${short(error)}` },
    { id: 'logit-scale', strength: 0.2, evidence: some },
  ];
}
