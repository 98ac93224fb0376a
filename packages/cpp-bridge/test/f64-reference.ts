/*
 * The transformer of architectures `bitnet` and `bitnet-b1.58` in f64, written from the formulas in docs/numerics.md and
 * nothing else: what the libraries are compared with. Sums have no particular order.
 */

export interface ReferenceShape {
  readonly layers: number;
  readonly width: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly epsilon: number;
  readonly ropeBase: number;
}

export type ReferenceWeights = ReadonlyMap<string, { readonly values: Float32Array }>;

export interface ReferenceVariant {
  /** max(gate, 0)² instead of silu(gate). */
  readonly reluSquared?: boolean;
  /** Inputs of the layers' products rounded to int8 by row. */
  readonly int8Activations?: boolean;
}

/** Logits of every position. */
export function referenceLogits(
  shape: ReferenceShape,
  weights: ReferenceWeights,
  ids: readonly number[],
  { reluSquared = false, int8Activations = false }: ReferenceVariant = {},
): Float64Array[] {
  const { layers, width, heads, kvHeads, headDim, vocabSize, epsilon, ropeBase } = shape;
  const weight = (name: string): Float32Array => weights.get(`${name}.weight`)!.values;

  function product(name: string, x: Float64Array): Float64Array {
    const w = weight(name);
    return Float64Array.from({ length: w.length / x.length }, (_, row) =>
      x.reduce((sum, value, column) => sum + value * w[row * x.length + column]!, 0),
    );
  }
  function rms(x: Float64Array, name: string): Float64Array {
    const w = weight(name);
    const r = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + epsilon);
    return x.map((value, index) => value * r * w[index]!);
  }
  function rounded(x: Float64Array): Float64Array {
    if (!int8Activations) return x;
    const step = x.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-5) / 127;
    return x.map((value) => {
      const floor = Math.floor(value / step);
      const rest = value / step - floor;
      return (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor) * step;
    });
  }
  function rope(x: Float64Array, position: number): Float64Array {
    const half = headDim / 2;
    return x.map((value, index) => {
      const inHead = index % headDim;
      const pair = inHead % half;
      const angle = position * ropeBase ** (-pair / half);
      const other = inHead < half ? -x[index + half]! : x[index - half]!;
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  }

  const states = ids.map((id) => Float64Array.from(weight('token_embd').subarray(id * width, (id + 1) * width)));
  for (let layer = 0; layer < layers; layer++) {
    const of = (name: string): string => `blk.${layer}.${name}`;
    const keys: Float64Array[] = [];
    const values: Float64Array[] = [];
    for (const [position, x] of states.entries()) {
      const h = rounded(rms(x, of('attn_norm')));
      const q = rope(product(of('attn_q'), h), position);
      keys.push(rope(product(of('attn_k'), h), position));
      values.push(product(of('attn_v'), h));
      const attended = new Float64Array(heads * headDim);
      for (let head = 0; head < heads; head++) {
        const kvStart = Math.floor(head / (heads / kvHeads)) * headDim;
        const scores = keys.map((key) => {
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += q[head * headDim + d]! * key[kvStart + d]!;
          return dot / Math.sqrt(headDim);
        });
        const largest = Math.max(...scores);
        const exponentials = scores.map((score) => Math.exp(score - largest));
        const total = exponentials.reduce((sum, value) => sum + value, 0);
        for (const [cell, exponential] of exponentials.entries()) {
          for (let d = 0; d < headDim; d++) {
            attended[head * headDim + d]! += (exponential / total) * values[cell]![kvStart + d]!;
          }
        }
      }
      const a = product(of('attn_output'), rounded(rms(attended, of('attn_sub_norm'))));
      const f = x.map((value, index) => value + a[index]!);
      const g = rounded(rms(f, of('ffn_norm')));
      const up = product(of('ffn_up'), g);
      const gated = product(of('ffn_gate'), g).map((gate, index) => {
        const activated = reluSquared ? Math.max(gate, 0) ** 2 : gate / (1 + Math.exp(-gate));
        return activated * up[index]!;
      });
      const down = product(of('ffn_down'), rounded(rms(gated, of('ffn_sub_norm'))));
      states[position] = f.map((value, index) => value + down[index]!);
    }
  }
  return states.map((x) => {
    const logits = product('token_embd', rms(x, 'output_norm'));
    if (logits.length !== vocabSize) throw new Error(`${logits.length} logits for a vocabulary of ${vocabSize}.`);
    return logits;
  });
}
