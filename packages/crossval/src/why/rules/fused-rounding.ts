import type { Finding } from '../causes.ts';
import { differingPositions } from '../measure.ts';
import { inLayer, type Scene } from '../scene.ts';

/** What a ternary product reads, by its name without layer; of several the first that a model has. */
const INPUTS: Readonly<Record<string, readonly string[]>> = {
  Qcur: ['attn_norm'],
  Kcur: ['attn_norm'],
  Vcur: ['attn_norm'],
  attn_o_out: ['attn_sub_norm', 'kqv_out'],
  ffn_gate: ['ffn_norm'],
  ffn_up: ['ffn_norm'],
  ffn_down: ['ffn_sub_norm', 'ffn_out', 'ffn_sub_out'],
};

/**
 * A compiler that fuses a product and a sum rounds activations once where others round twice (numerics, section 3). From the
 * input, which both sides have, it follows which rows of the product that changes: they must be those that differ.
 */
export async function fusedRoundingCauses(scene: Scene): Promise<Finding[]> {
  const { first, theirs, mine, layout } = scene;
  const input = await inputOf(scene);
  const { positions } = layout;
  if (input === undefined || input.length % positions.length !== 0) return [];
  const width = input.length / positions.length;
  const changed = new Map<number, number>();
  for (const [row, position] of positions.entries()) {
    const count = fusedDifferences(input.subarray(row * width, (row + 1) * width));
    if (count > 0) changed.set(position, count);
  }
  const differing = differingPositions(theirs, mine, layout);
  if (differing.length === 0 || differing.some((position) => !changed.has(position))) return [];
  const where = differing.map((position) => `${changed.get(position)} at position ${position}`).join(', ');
  const exactly = changed.size === differing.length;
  const evidence =
    `activations of ${first.name} that are a tie only when rounded to f32 first: ${where}; ` +
    (exactly
      ? 'no other row has one, and no other differs'
      : `${changed.size - differing.length} other rows have one and do not differ`);
  return [{ id: 'fused-rounding', strength: exactly ? 0.99 : 0.5, evidence }];
}

async function inputOf(scene: Scene): Promise<Float32Array | undefined> {
  for (const name of INPUTS[scene.first.name.replace(/-\d+$/, '')] ?? []) {
    const values = await inLayer(scene, name);
    if (values !== undefined) return values;
  }
  return undefined;
}

/** How many of a row's int8 activations are others if x·s is not rounded to f32 before it is rounded to an integer. */
function fusedDifferences(row: Float32Array): number {
  const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-5);
  const scale = Math.fround(127 / largest);
  // The product of two f32 is exact in f64.
  return row.reduce((count, value) => {
    const product = value * scale;
    return count + (roundToEven(product) === roundToEven(Math.fround(product)) ? 0 : 1);
  }, 0);
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}
