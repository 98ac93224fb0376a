import type { TapPlace } from './tap-layout.ts';

/** What kind of operation a graph node is (docs/numerics.md, section 5.1). */
export type TapKind =
  | 'embedding'
  /** A norm before its weight. */
  | 'normalize'
  /** Times the norm's weight. */
  | 'gamma'
  /** A ternary matrix product. */
  | 'linear'
  | 'rope'
  /** Queries times keys, neither scaled nor masked. */
  | 'scores'
  | 'softmax'
  /** Probabilities times values. */
  | 'values'
  /** Heads side by side. */
  | 'merge'
  /** Relu or SiLU. */
  | 'activation'
  | 'square'
  /** Activated gate times up. */
  | 'gate'
  | 'residual'
  | 'head'
  | 'other';

const KINDS: readonly (readonly [TapKind, RegExp])[] = [
  ['embedding', /^inp_embd$/],
  ['normalize', /^norm(?:-\d+)?$/],
  ['gamma', /^(?:(?:attn|attn_sub|ffn|ffn_sub)_norm-\d+|result_norm)$/],
  ['linear', /^(?:Qcur|Kcur|Vcur|attn_o_out|ffn_gate|ffn_up|ffn_down)-\d+$/],
  ['scores', /^kq-\d+$/],
  ['softmax', /^kq_soft_max_ext-\d+$/],
  ['values', /^kqv-\d+$/],
  ['merge', /^kqv_out-\d+$/],
  ['activation', /^ffn_(?:relu|silu)-\d+$/],
  ['square', /^ffn_sqr\(relu\)-\d+$/],
  ['gate', /^ffn_(?:out|sub_out)-\d+$/],
  ['residual', /^(?:ffn_inp|l_out)-\d+$/],
  ['head', /^result_output$/],
];

export function tapKindOf({ name, occurrence }: Pick<TapPlace, 'name' | 'occurrence'>): TapKind {
  if (occurrence === 1 && /^[QK]cur-\d+$/.test(name)) return 'rope';
  return KINDS.find(([, pattern]) => pattern.test(name))?.[0] ?? 'other';
}
