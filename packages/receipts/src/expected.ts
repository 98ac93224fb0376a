import type { ReceiptCounter, ReceiptPredicate, ReceiptWeightType } from './statement.ts';
import { headTypeOf, type LayerLinears, linearsOf, rowBytesOf, type ShapedLinear, traitsOf } from './weight-types.ts';

// What kernels must have counted, from a model's shape and the ids (docs/kernel-counters.md). Formulas of the verifier's own:
// it shares no code with the engine.

export type Count = Omit<ReceiptCounter, 'id' | 'nanoseconds'>;

/** By kernel. Rescored rows of a screened head are missing: they depend on activations, too. */
export type ExpectedCounts = ReadonlyMap<string, Count>;

/** What the run says about how it was run. */
export type RunShape = Pick<ReceiptPredicate, 'model' | 'kernels' | 'head' | 'kvType'>;

/** The engine evaluates longer prompts in pieces of so many. */
const MICRO_BATCH = 512;
/** Attention goes over a multiple of so many cells. */
const CELLS = 32;
/** Rows of attention between two pauses. */
const ATTENTION_ROWS = 64;

/** Ids evaluated together. */
interface Batch {
  readonly position: number;
  readonly rows: number;
  /** Whether the logits of its last row are wanted: all others of its rows end in the last layer. */
  readonly head: boolean;
}

/** Of `repeats` evaluations of a prompt. */
export function expectedPrefill(run: RunShape, promptLength: number, repeats: number): ExpectedCounts {
  const batches: Batch[] = [];
  for (let position = 0; position < promptLength; position += MICRO_BATCH) {
    const rows = Math.min(MICRO_BATCH, promptLength - position);
    batches.push({ position, rows, head: position + rows === promptLength });
  }
  return sumOf(run, batches, repeats);
}

/** Of `repeats` times `steps` ids, one by one, after a prompt. */
export function expectedDecode(run: RunShape, promptLength: number, steps: number, repeats: number): ExpectedCounts {
  const batches = Array.from({ length: steps }, (_, step) => ({ position: promptLength + step, rows: 1, head: true }));
  return sumOf(run, batches, repeats);
}

/** Only attention depends on the position, so that all else is counted once for batches that are alike. */
function sumOf(run: RunShape, batches: readonly Batch[], repeats: number): ExpectedCounts {
  const tally = new Tally();
  for (const batch of batches) countAttention(run, batch, repeats, tally);
  const alike = Map.groupBy(batches, ({ rows, head }) => `${rows} ${head}`);
  for (const same of alike.values()) countRows(run, same[0]!, repeats * same.length, tally);
  return tally.counts;
}

/** Products of queries, keys and values over the cache, in all layers. */
function countAttention({ model, kernels, kvType }: RunShape, batch: Batch, repeats: number, tally: Tally): void {
  const { headCount, headDim, blockCount } = model.config;
  const cells = CELLS * Math.max(1, Math.ceil((batch.position + batch.rows) / CELLS));
  const [operation, valueBytes] = kvType === 'f32' ? ['attention_f32', 4] : ['attention', 2];
  for (const rows of attentionPieces(batch.rows)) {
    tally.add(`${operation}_${kernels.variant}`, repeats * blockCount, {
      rows: headCount * rows,
      elements: headCount * rows * 2 * cells * headDim,
      bytes: headCount * (rows * 8 * headDim + 2 * valueBytes * cells * headDim),
    });
  }
}

/** All but {@link countAttention} of `batches` of so many rows. */
function countRows(run: RunShape, { rows, head: wanted }: Batch, batches: number, tally: Tally): void {
  const { model, kernels, kvType } = run;
  const { embeddingLength: width, feedForwardLength: inner, headCount, headCountKv, headDim } = model.config;
  const kv = headCountKv * headDim;
  const { variant } = kernels;
  const isLlama = model.architecture === 'llama';
  const rope = isLlama ? 'rope_norm' : 'rope_neox';
  const gate = isLlama || model.architecture === 'bitnet' ? 'silu_gate' : 'relu_squared_gate';
  const [store, valueBytes] = kvType === 'f32' ? ['store_keys_values_f32', 4] : ['store_keys_values', 2];

  const call = (operation: string, times: number, one: Omit<Count, 'calls'>): void =>
    tally.add(`${operation}_${variant}`, batches * times, one);
  const flat = (operation: string, values: number, bytes: number, times: number): void =>
    call(operation, times, { rows: values, elements: values, bytes: values * bytes });
  const norm = (n: number, length: number, times: number): void =>
    call('rms_norm', times, { rows: n, elements: n * length, bytes: n * 8 * length + 4 * length });
  /** Rows of activations as products want them. */
  const prepare = (type: ReceiptWeightType, n: number, length: number, times: number): void => {
    const rowsOf = (operation: string, bytes: number): void =>
      call(operation, times, { rows: n, elements: n * length, bytes: n * bytes });
    switch (traitsOf(type).activations) {
      case 'int8':
        return rowsOf(type === 'TL1' ? 'quantize_rows_tl1' : 'quantize_rows', 5 * length + 8);
      case 'Q8_0':
        return rowsOf('quantize_rows_q8_0', 5 * length + length / 8);
      case 'Q8_K':
        return rowsOf('quantize_rows_q8_k', 5 * length + (9 * length) / 64);
      case 'BF16':
        return flat('round_to_bf16', n * length, 8, times);
      case 'F16':
        if (n === 1) flat('round_to_f16', length, 8, times);
        return;
      case 'F32':
        return;
    }
  };
  const multiply = (type: ReceiptWeightType, n: number, m: number, k: number, times: number): void => {
    const { activationBytes, gemv, gemm } = traitsOf(type);
    if (type === 'TL1' && model.tl1Kernel === 'lut') {
      // Row by row
      const bytes = m * (k / 4 + 4) + k + 4;
      tally.add(tl1Gemv(variant), batches * times * n, { rows: m, elements: m * k, bytes });
      return;
    }
    const chosen = n === 1 ? kernels.gemv : kernels.gemm;
    const own = n === 1 ? gemv : gemm;
    const bytes = m * (rowBytesOf(type, k) + 4 * n) + n * activationBytes(k);
    tally.add(own === undefined ? chosen : `${own}_${variant}`, batches * times, {
      rows: m,
      elements: n * m * k,
      bytes,
    });
  };
  /** All of the same `n` rows; activations are prepared again only for a type that wants others than the one before. */
  const linears = (list: readonly ShapedLinear[], n: number, times: number): void => {
    let prepared: string | undefined;
    for (const { type, scale, bias, rows: m, columns: k } of list) {
      const { activations } = traitsOf(type);
      if (activations !== prepared) prepare(type, n, k, times);
      prepared = activations;
      multiply(type, n, m, k, times);
      if (scale) flat('multiply_by', n * m, 8, times);
      if (bias) call('add_to_rows', times, { rows: n, elements: n * m, bytes: n * 8 * m + 4 * m });
    }
  };
  const rotate = (heads: number, times: number): void => {
    const values = rows * heads * headDim;
    call(rope, times, { rows, elements: values, bytes: 8 * values + rows * 4 * headDim });
  };
  /** The first half of a layer, to the residual sum. */
  const attend = ({ attentionInput, attentionOutput }: LayerLinears, times: number): void => {
    norm(rows, width, times);
    linears(attentionInput, rows, times);
    rotate(headCount, times);
    rotate(headCountKv, times);
    call(store, times, { rows, elements: rows * 2 * kv, bytes: rows * 2 * (4 + valueBytes) * kv });
    if (!isLlama) norm(rows, headCount * headDim, times);
    linears(attentionOutput, rows, times);
  };
  /** The second half, from the residual sum on. */
  const feedForward = ({ feedForwardInput, feedForwardOutput }: LayerLinears, n: number, times: number): void => {
    flat('add', n * width, 12, 2 * times);
    norm(n, width, times);
    linears(feedForwardInput, n, times);
    flat(gate, n * inner, 12, times);
    if (!isLlama) norm(n, inner, times);
    linears(feedForwardOutput, n, times);
  };

  const { lookup } = traitsOf(model.weights.embedding);
  if (lookup !== undefined) flat(lookup, width, 4 + rowBytesOf(model.weights.embedding, width) / width, rows);
  for (const [index, layers] of model.weights.layers.entries()) {
    const shaped = linearsOf(model, layers);
    attend(shaped, layers.count);
    // Of the last layer the second half, and the head, are for the last row alone, if it is wanted.
    const isLast = index === model.weights.layers.length - 1;
    feedForward(shaped, rows, isLast ? layers.count - 1 : layers.count);
    if (isLast && wanted) feedForward(shaped, 1, 1);
  }
  if (wanted) countHead(run, { norm, flat, call, prepare, multiply });
}

/** What {@link countRows} counts with. */
interface Counting {
  norm(n: number, length: number, times: number): void;
  flat(operation: string, values: number, bytes: number, times: number): void;
  call(operation: string, times: number, one: Omit<Count, 'calls'>): void;
  prepare(type: ReceiptWeightType, n: number, length: number, times: number): void;
  multiply(type: ReceiptWeightType, n: number, m: number, k: number, times: number): void;
}

function countHead({ model, head }: RunShape, { norm, flat, call, prepare, multiply }: Counting): void {
  const { vocabSize, embeddingLength: width } = model.config;
  norm(1, width, 1);
  if (head.kind === 'exact') {
    prepare(headTypeOf(model), 1, width, 1);
    multiply(headTypeOf(model), 1, vocabSize, width, 1);
    return;
  }
  flat('round_to_f16', width, 8, 1);
  call('f16_head_quantized', 1, { rows: 1, elements: width, bytes: 6 * width + 24 });
  const bytes = vocabSize * (width + 16) + 2 * width + 24;
  call('f16_head_screened', 1, { rows: vocabSize, elements: vocabSize * width, bytes });
  flat('f16_head_selected', vocabSize, 8, 1);
}

/** The engine pauses within the attention of many rows, but leaves no single one. */
function attentionPieces(rows: number): number[] {
  const pieces: number[] = [];
  let left = rows;
  for (; left > ATTENTION_ROWS + 1; left -= ATTENTION_ROWS) pieces.push(ATTENTION_ROWS);
  return [...pieces, left];
}

function tl1Gemv(variant: 'relaxed' | 'simd128'): string {
  return variant === 'relaxed' ? 'tl1_gemv_relaxed_swizzle' : 'tl1_gemv_swizzle';
}

/** Of the ternary products of a run, the kernels that its binary can have chosen. */
export function possibleChoices({ variant }: RunShape['kernels'], product: 'gemv' | 'gemm'): readonly string[] {
  const forms = variant === 'relaxed' ? ['relaxed', 'relaxed_wide', 'relaxed_i16'] : ['simd128', 'simd128_i16'];
  return forms.map((form) => `i2s_${product}_${form}`);
}

/** Bytes that an evaluation of one id reads of the weights and of its head. */
export function streamedBytes({ model, head }: RunShape): number {
  const { vocabSize, embeddingLength: width } = model.config;
  const layers = model.weights.layers.map(
    (group) =>
      group.count *
      Object.values(linearsOf(model, group))
        .flat()
        .reduce((sum: number, { type, rows, columns }: ShapedLinear) => sum + rows * rowBytesOf(type, columns), 0),
  );
  const headBytes = vocabSize * (head.kind === 'exact' ? rowBytesOf(headTypeOf(model), width) : width);
  return layers.reduce((sum, bytes) => sum + bytes, headBytes);
}

class Tally {
  readonly counts: Map<string, Count> = new Map();

  /** @param times - calls, each of which counts `one` */
  add(id: string, times: number, one: Omit<Count, 'calls'>): void {
    if (times === 0) return;
    const { calls, rows, elements, bytes } = this.counts.get(id) ?? { calls: 0, rows: 0, elements: 0, bytes: 0 };
    this.counts.set(id, {
      calls: calls + times,
      rows: rows + times * one.rows,
      elements: elements + times * one.elements,
      bytes: bytes + times * one.bytes,
    });
  }
}
