import type { ReceiptCounter, ReceiptPredicate } from './statement.ts';

// What kernels must have counted, from a model's shape and the ids (docs/kernel-counters.md). Formulas of the verifier's own:
// it shares no code with the engine.

export type Count = Omit<ReceiptCounter, 'id' | 'nanoseconds'>;

/** By kernel. Rescored rows of a screened head are missing: they depend on activations, too. */
export type ExpectedCounts = ReadonlyMap<string, Count>;

/** What the run says about how it was run. */
export type RunShape = Pick<ReceiptPredicate, 'model' | 'kernels' | 'head'>;

/** The engine evaluates longer prompts in pieces of so many. */
const MICRO_BATCH = 512;
/** Attention goes over a multiple of so many cells. */
const CELLS = 32;

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

function sumOf(run: RunShape, batches: readonly Batch[], repeats: number): ExpectedCounts {
  const tally = new Tally();
  for (const batch of batches) countBatch(run, batch, tally);
  return tally.times(repeats);
}

function countBatch({ model, kernels, head }: RunShape, { position, rows, head: wanted }: Batch, tally: Tally): void {
  const { vocabSize, embeddingLength: width, feedForwardLength: inner, headCount, headCountKv, headDim } = model.config;
  const layers = model.config.blockCount;
  const kv = headCountKv * headDim;
  const cells = CELLS * Math.max(1, Math.ceil((position + rows) / CELLS));
  const { variant } = kernels;
  const quantizeRows = model.quantization === 'TL1' ? 'quantize_rows_tl1' : 'quantize_rows';
  const gate = model.architecture === 'bitnet' ? 'silu_gate' : 'relu_squared_gate';

  const flat = (operation: string, values: number, bytes: number, times: number): void =>
    tally.add(`${operation}_${variant}`, times, { rows: values, elements: values, bytes: values * bytes });
  const normAndQuantize = (n: number, length: number, times: number): void => {
    norm(n, length, times);
    const bytes = n * (5 * length + 8);
    tally.add(`${quantizeRows}_${variant}`, times, { rows: n, elements: n * length, bytes });
  };
  const norm = (n: number, length: number, times: number): void => {
    const bytes = n * 8 * length + 4 * length;
    tally.add(`rms_norm_${variant}`, times, { rows: n, elements: n * length, bytes });
  };
  const ternary = (n: number, m: number, k: number, times: number): void => {
    const elements = n * m * k;
    if (model.tl1Kernel === 'lut') {
      // Row by row
      const bytes = m * (k / 4 + 4) + k + 4;
      tally.add(tl1Gemv(variant), times * n, { rows: m, elements: m * k, bytes });
      return;
    }
    const bytes = m * (k / 4 + 4 * n) + n * (k + 8);
    tally.add(n === 1 ? kernels.gemv : kernels.gemm, times, { rows: m, elements, bytes });
  };
  /** The second half of a layer, from the residual sum on. */
  const feedForward = (n: number, times: number): void => {
    flat('add', n * width, 12, 2 * times);
    normAndQuantize(n, width, times);
    ternary(n, inner, width, 2 * times);
    flat(gate, n * inner, 12, times);
    normAndQuantize(n, inner, times);
    ternary(n, width, inner, times);
  };

  flat('widen_f16', width, 6, rows);
  normAndQuantize(rows, width, 2 * layers);
  ternary(rows, width, width, 2 * layers); // queries, output
  ternary(rows, kv, width, 2 * layers);
  for (const heads of [headCount, headCountKv]) {
    const values = rows * heads * headDim;
    tally.add(`rope_neox_${variant}`, layers, { rows, elements: values, bytes: 8 * values + rows * 4 * headDim });
  }
  tally.add(`store_keys_values_${variant}`, layers, { rows, elements: rows * 2 * kv, bytes: rows * 12 * kv });
  tally.add(`attention_${variant}`, layers, {
    rows: headCount * rows,
    elements: headCount * rows * 2 * cells * headDim,
    bytes: headCount * (rows * 8 * headDim + 4 * cells * headDim),
  });
  feedForward(rows, layers - 1);
  if (!wanted) return;

  // The last layer's second half and the head, for the last row alone
  feedForward(1, 1);
  norm(1, width, 1);
  flat('round_to_f16', width, 8, 1);
  if (head.kind === 'exact') {
    const bytes = vocabSize * (2 * width + 4) + 4 * width;
    tally.add(`f16_gemv_${variant}`, 1, { rows: vocabSize, elements: vocabSize * width, bytes });
    return;
  }
  tally.add(`f16_head_quantized_${variant}`, 1, { rows: 1, elements: width, bytes: 6 * width + 24 });
  const screenBytes = vocabSize * (width + 16) + 2 * width + 24;
  tally.add(`f16_head_screened_${variant}`, 1, { rows: vocabSize, elements: vocabSize * width, bytes: screenBytes });
  flat('f16_head_selected', vocabSize, 8, 1);
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
  const {
    vocabSize,
    embeddingLength: width,
    feedForwardLength: inner,
    headCountKv,
    headDim,
    blockCount,
  } = model.config;
  const weights = 2 * width * width + 2 * headCountKv * headDim * width + 3 * width * inner;
  return (blockCount * weights) / 4 + vocabSize * width * (head.kind === 'exact' ? 2 : 1);
}

class Tally {
  readonly #counts = new Map<string, Count>();

  /** @param times - calls, each of which counts `one` */
  add(id: string, times: number, one: Omit<Count, 'calls'>): void {
    if (times === 0) return;
    const { calls, rows, elements, bytes } = this.#counts.get(id) ?? { calls: 0, rows: 0, elements: 0, bytes: 0 };
    this.#counts.set(id, {
      calls: calls + times,
      rows: rows + times * one.rows,
      elements: elements + times * one.elements,
      bytes: bytes + times * one.bytes,
    });
  }

  times(factor: number): ExpectedCounts {
    return new Map(
      [...this.#counts].map(([id, { calls, rows, elements, bytes }]) => [
        id,
        { calls: factor * calls, rows: factor * rows, elements: factor * elements, bytes: factor * bytes },
      ]),
    );
  }
}
