// The graphs of bitnet and llama in f64, straight from the formulas: no rounding anywhere. What an engine computes lies
// within its own roundings of this. Shares no code with the packages but the reading of a file's list of tensors.
import type { GgufFile } from '@bittern/gguf-parser';
import { unpack } from './formats.ts';

export interface F64Tensor {
  readonly type: string;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export type Rows = readonly (readonly number[])[];

export interface F64Model {
  readonly tensors: ReadonlyMap<string, F64Tensor>;
  readonly architecture: string;
  /** A number of the metadata. */
  number(key: string, fallback?: number): number;
}

export async function readModel(gguf: GgufFile): Promise<F64Model> {
  const tensors = new Map<string, F64Tensor>();
  for (const { name, type, shape, elementCount } of gguf.tensors.values()) {
    tensors.set(name, { type, shape, values: unpack(type, await gguf.readTensor(name), elementCount) });
  }
  const architecture = String(gguf.metadata.get('general.architecture'));
  const number = (key: string, fallback?: number): number => {
    const value = gguf.metadata.get(`${architecture}.${key}`) ?? fallback;
    if (typeof value !== 'number') throw new Error(`no number "${key}"`);
    return value;
  };
  return { tensors, architecture, number };
}

export function rows({ shape, values }: F64Tensor): number[][] {
  const columns = shape.at(-1)!;
  return Array.from({ length: values.length / columns }, (_, row) => [
    ...values.subarray(row * columns, (row + 1) * columns),
  ]);
}

export function tensorOf(model: F64Model, name: string): F64Tensor {
  const tensor = model.tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor "${name}"`);
  return tensor;
}

/** Products with the rows of a matrix, and the sums of their terms' magnitudes: each [x.length, rows of the matrix]. */
export function products({ shape, values }: F64Tensor, x: Rows): { sums: number[][]; magnitudes: number[][] } {
  const [count, columns] = shape as [number, number];
  const result: { sums: number[][]; magnitudes: number[][] } = { sums: [], magnitudes: [] };
  for (const list of x) {
    const row = Float64Array.from(list);
    const sums = new Float64Array(count);
    const magnitudes = new Float64Array(count);
    for (let m = 0, at = 0; m < count; m++) {
      let total = 0;
      let magnitude = 0;
      for (let c = 0; c < columns; c++) {
        const term = values[at++]! * row[c]!;
        total += term;
        magnitude += Math.abs(term);
      }
      sums[m] = total;
      magnitudes[m] = magnitude;
    }
    result.sums.push([...sums]);
    result.magnitudes.push([...magnitudes]);
  }
  return result;
}

/** Products with `name.weight`, times `name.scale`, plus `name.bias`. */
function linear(model: F64Model, name: string, x: Rows): number[][] {
  const scale = model.tensors.get(`${name}.scale`)?.values[0] ?? 1;
  const bias = model.tensors.get(`${name}.bias`)?.values;
  const { sums } = products(tensorOf(model, `${name}.weight`), x);
  return sums.map((row) => row.map((product, m) => scale * product + (bias?.[m] ?? 0)));
}

export function norm(model: F64Model, name: string, x: Rows): number[][] {
  const weight = tensorOf(model, `${name}.weight`).values;
  const epsilon = Math.fround(model.number('attention.layer_norm_rms_epsilon'));
  return x.map((row) => {
    const factor = 1 / Math.sqrt(row.reduce((squares, v) => squares + v * v, 0) / row.length + epsilon);
    return row.map((v, i) => v * factor * weight[i]!);
  });
}

/** Rotates pairs of every head; row r is at position r. */
export function rope(model: F64Model, x: Rows, headDim: number): number[][] {
  const base = model.number('rope.freq_base', 10_000);
  const factors = model.tensors.get('rope_freqs.weight')?.values;
  const isLlama = model.architecture === 'llama';
  return x.map((row, position) => {
    const out = [...row];
    for (let head = 0; head < row.length; head += headDim) {
      for (let j = 0; j < headDim / 2; j++) {
        const angle = (position * base ** ((-2 * j) / headDim)) / (factors?.[j] ?? 1);
        const [a, b] = isLlama ? [head + 2 * j, head + 2 * j + 1] : [head + j, head + j + headDim / 2];
        out[a] = row[a]! * Math.cos(angle) - row[b]! * Math.sin(angle);
        out[b] = row[a]! * Math.sin(angle) + row[b]! * Math.cos(angle);
      }
    }
    return out;
  });
}

/** Causal attention: rows [heads * headDim] of q, [kvHeads * headDim] of k and v. */
export function attend(q: Rows, k: Rows, v: Rows, heads: number, kvHeads: number, headDim: number): number[][] {
  return q.map((query, position) =>
    Array.from({ length: heads }, (_, head) => {
      const kv = Math.floor(head / (heads / kvHeads)) * headDim;
      const visible = k.slice(0, position + 1);
      const scores = visible.map((key) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += query[head * headDim + d]! * key[kv + d]!;
        return dot / Math.sqrt(headDim);
      });
      const largest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - largest));
      const total = weights.reduce((a, b) => a + b, 0);
      return Array.from({ length: headDim }, (__, d) =>
        weights.reduce((mean, weight, t) => mean + (weight / total) * v[t]![kv + d]!, 0),
      );
    }).flat(),
  );
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

export function gated(model: F64Model, gate: Rows, up: Rows): number[][] {
  const activate = (x: number): number =>
    model.architecture === 'bitnet' || model.architecture === 'llama' ? silu(x) : Math.max(x, 0) ** 2;
  return gate.map((row, r) => row.map((x, i) => activate(x) * up[r]![i]!));
}

export function sum(a: Rows, b: Rows): number[][] {
  return a.map((row, r) => row.map((x, i) => x + b[r]![i]!));
}

/** Name of the tensor that is the head, without `.weight`. */
export function headOf(model: F64Model): string {
  return model.architecture === 'llama' && model.tensors.has('output.weight') ? 'output' : 'token_embd';
}

export function headDimOf(model: F64Model): number {
  const divided = model.number('embedding_length') / model.number('attention.head_count');
  return model.number('attention.key_length', divided);
}

/** Logits of all positions. */
export function evaluate(model: F64Model, ids: readonly number[]): number[][] {
  const heads = model.number('attention.head_count');
  const kvHeads = model.number('attention.head_count_kv', heads);
  const headDim = headDimOf(model);
  const isLlama = model.architecture === 'llama';
  const embedding = rows(tensorOf(model, 'token_embd.weight'));
  let x: number[][] = ids.map((id) => embedding[id]!);
  for (let layer = 0; layer < model.number('block_count'); layer++) {
    const of = (name: string): string => `blk.${layer}.${name}`;
    const h = norm(model, of('attn_norm'), x);
    const q = rope(model, linear(model, of('attn_q'), h), headDim);
    const k = rope(model, linear(model, of('attn_k'), h), headDim);
    const attended = attend(q, k, linear(model, of('attn_v'), h), heads, kvHeads, headDim);
    const o = isLlama ? attended : norm(model, of('attn_sub_norm'), attended);
    x = sum(x, linear(model, of('attn_output'), o));
    const f = norm(model, of('ffn_norm'), x);
    const t = gated(model, linear(model, of('ffn_gate'), f), linear(model, of('ffn_up'), f));
    x = sum(x, linear(model, of('ffn_down'), isLlama ? t : norm(model, of('ffn_sub_norm'), t)));
  }
  return linear(model, headOf(model), norm(model, 'output_norm', x));
}
