import type { Finding } from '../causes.ts';
import { differingColumns, FLOAT_NOISE, relativeError, rowsOf, scaleBetween, short } from '../measure.ts';
import { inLayer, type Scene, valuesOf } from '../scene.ts';

/** A norm differs before its weight. */
export async function normalizeCauses(scene: Scene): Promise<Finding[]> {
  const { theirs, mine, layout } = scene;
  const [a, b] = [rowsOf(theirs, layout)[0]!, rowsOf(mine, layout)[0]!];
  const scales = a.map((row, index) => scaleBetween(row, b[index]!));
  if (!scales.every(({ residual }) => residual < FLOAT_NOISE)) {
    const worst = Math.max(...scales.map(({ residual }) => residual));
    const evidence = `rows are no multiples of the reference's (up to ${short(worst)} remains): RMS against another norm`;
    return [{ id: 'norm-epsilon', strength: 0.7, evidence }];
  }
  const factors = scales.map(({ factor }) => factor);
  const spread = `each row is the reference times one factor, ${short(Math.min(...factors))} to ${short(Math.max(...factors))}`;
  const small = Math.max(...factors.map((factor) => Math.abs(factor - 1))) < FLOAT_NOISE;
  const findings: Finding[] = [{ id: 'norm-epsilon', strength: small ? 0.6 : 0.95, evidence: spread }];
  if (small) findings.push({ id: 'float-order', strength: 0.65, evidence: spread });
  const input = await inputOf(scene);
  if (input !== undefined) {
    const x = rowsOf(input, layout)[0]!;
    const [theirEpsilon, ourEpsilon] = [a, b].map((rows) => median(rows.map((row, at) => epsilonOf(x[at]!, row))));
    const evidence = `from its inputs the epsilon is about ${short(theirEpsilon!)} in the reference, ${short(ourEpsilon!)} in ours`;
    findings.push({ id: 'norm-epsilon', strength: small ? 0.6 : 0.96, evidence });
  }
  return findings;
}

/** What the norm reads: the residual stream, the attention or the gate. */
async function inputOf(scene: Scene): Promise<Float32Array | undefined> {
  const { first, located } = scene;
  const { layer, occurrence, step } = first;
  if (layer === null) return undefined;
  if (occurrence === 1) return inLayer(scene, 'kqv_out');
  if (occurrence === 2) return inLayer(scene, 'ffn_inp');
  if (occurrence === 3) return (await inLayer(scene, 'ffn_out')) ?? inLayer(scene, 'ffn_sub_out');
  return valuesOf(located.reference, layer === 0 ? 'inp_embd' : `l_out-${layer - 1}`, 0, step);
}

/** From y = x / sqrt(mean(x²) + epsilon). */
function epsilonOf(x: Float32Array, y: Float32Array): number {
  const { factor } = scaleBetween(x, y);
  let squares = 0;
  for (const value of x) squares += value * value;
  return 1 / (factor * factor) - squares / x.length;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** The normalized rows are equal, their products with the weight are not. */
export function gammaCauses({ theirs, mine, layout, first }: Scene): Finding[] {
  const columns = differingColumns(theirs, mine, layout.width);
  const [a, b] = [rowsOf(theirs, layout)[0]!, rowsOf(mine, layout)[0]!];
  const { factor, residual } = scaleBetween(theirs, mine);
  // One factor a column: the quotients of two rows agree.
  const last = a.length - 1;
  const gains = [0, last].map((row) =>
    Array.from(a[row]!, (value, column) => (value === 0 ? 1 : b[row]![column]! / value)),
  );
  const consistent = relativeError(gains[0]!, gains[1]!) < 1e-5;
  const how = residual < FLOAT_NOISE ? `all times ${short(factor)}` : `by one factor for each column: ${consistent}`;
  const evidence = `${first.name} differs in ${columns.size} of ${layout.width} columns, ${how}`;
  return [{ id: 'norm-gamma', strength: consistent ? 0.95 : 0.6, evidence }];
}
