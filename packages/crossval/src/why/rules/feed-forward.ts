import type { Finding } from '../causes.ts';
import { FLOAT_NOISE, relativeError, short } from '../measure.ts';
import { inLayer, type Scene, valuesOf } from '../scene.ts';

const FUNCTIONS: Readonly<Record<string, (x: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  'relu squared': (x) => Math.max(x, 0) ** 2,
  SiLU: (x) => x / (1 + Math.exp(-x)),
  GELU: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  'the sigmoid': (x) => 1 / (1 + Math.exp(-x)),
  'the gate itself': (x) => x,
};

/** The activated gate, its square, or its product with up differs. */
export async function activationCauses(scene: Scene): Promise<Finding[]> {
  const { theirs, mine, kind, first } = scene;
  const error = relativeError(theirs, mine);
  const differing = `${first.name} differs by ${short(error)} on equal inputs`;
  if (error < FLOAT_NOISE) return [{ id: 'float-order', strength: 0.9, evidence: differing }];
  const gate = await inLayer(scene, 'ffn_gate');
  const up = kind === 'gate' ? await inLayer(scene, 'ffn_up') : undefined;
  if (gate !== undefined && (kind !== 'gate' || up !== undefined)) {
    for (const [name, apply] of Object.entries(FUNCTIONS)) {
      const predicted = gate.map((x, index) => apply(x) * (up?.[index] ?? 1));
      const times = kind === 'gate' ? ' times up' : '';
      if (!(relativeError(predicted, mine) < 1e-3) || relativeError(predicted, theirs) < 1e-3) continue;
      return [{ id: 'activation-function', strength: 0.97, evidence: `${first.name} of ours is ${name}${times}` }];
    }
  }
  return [{ id: 'activation-function', strength: 0.75, evidence: differing }];
}

/** A residual sum differs though both terms are equal. */
export async function residualCauses(scene: Scene): Promise<Finding[]> {
  const { theirs, mine, first, located } = scene;
  const { layer, step, name } = first;
  const added = name.startsWith('ffn_inp') ? await inLayer(scene, 'attn_o_out') : await inLayer(scene, 'ffn_down');
  const stream = name.startsWith('ffn_inp')
    ? await valuesOf(located.reference, layer === 0 ? 'inp_embd' : `l_out-${layer! - 1}`, 0, step)
    : await inLayer(scene, 'ffn_inp');
  for (const [term, values] of [
    ['the sublayer’s output alone', added],
    ['the stream before it alone', stream],
  ] as const) {
    if (values?.length !== mine.length || !(relativeError(values, mine) < 1e-6)) continue;
    return [{ id: 'residual-add', strength: 0.97, evidence: `${name} of ours is ${term}` }];
  }
  const error = relativeError(theirs, mine);
  const evidence = `${name} differs by ${short(error)} though its terms are equal`;
  return [{ id: error < FLOAT_NOISE ? 'float-order' : 'residual-add', strength: 0.8, evidence }];
}
