import type { Finding } from '../causes.ts';
import { cosineBetween, differingPositions, relativeError, rowsOf, scaleBetween, short } from '../measure.ts';
import type { Scene } from '../scene.ts';

/** Coarsest rounding of a type that a row may have gone through: bf16 has 8 bits. */
const DTYPE_NOISE = 2 ** -7;

/** inp_embd differs. */
export function embeddingCauses({ theirs, mine, layout, located }: Scene): Finding[] {
  const differing = differingPositions(theirs, mine, layout);
  const [a, b] = [rowsOf(theirs, layout)[0]!, rowsOf(mine, layout)[0]!];
  const rows = layout.positions.flatMap((position, row) => (differing.includes(position) ? [row] : []));
  const ids = [...new Set(differing.map((position) => located.ids[position]))];
  const errors = rows.map((row) => relativeError(a[row]!, b[row]!));
  const cosines = rows.map((row) => cosineBetween(a[row]!, b[row]!));
  const all = differing.length === layout.positions.length;
  const where = `inp_embd differs at ${differing.length} of ${layout.positions.length} positions, ids ${ids.slice(0, 8).join(', ')}`;
  const { factor, residual } = scaleBetween(theirs, mine);
  if (all && residual < 1e-6) {
    return [
      { id: 'embedding-dtype', strength: 0.9, evidence: `${where}; ours is the reference times ${short(factor)}` },
      { id: 'embedding-rows', strength: 0.3, evidence: where },
    ];
  }
  if (Math.max(...errors) < DTYPE_NOISE) {
    const near = `${where}; by up to ${short(Math.max(...errors))} of a row, as after rounding to another type`;
    return [
      { id: 'embedding-dtype', strength: all || differing.length > 2 ? 0.92 : 0.6, evidence: near },
      { id: 'embedding-rows', strength: all ? 0.3 : 0.65, evidence: where },
    ];
  }
  const unlike = `${where}; cosines ${short(Math.min(...cosines))} to ${short(Math.max(...cosines))}`;
  return [
    { id: 'embedding-rows', strength: 0.92, evidence: unlike },
    { id: 'embedding-dtype', strength: all ? 0.4 : 0.2, evidence: where },
  ];
}
