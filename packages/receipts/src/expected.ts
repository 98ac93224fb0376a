import { type ExpectedCounts, OperationCounts, type RunShape, Tally } from './operation-counts.ts';
import { headTypeOf, type LayerLinears, linearsOf, rowBytesOf, type ShapedLinear, traitsOf } from './weight-types.ts';

// What kernels must have counted, from a model's shape and the ids (docs/kernel-counters.md). Formulas of the verifier's own:
// it shares no code with the engine.

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
  const { weights, config } = run.model;
  const count = new OperationCounts(run, batches, tally);
  const { lookup } = traitsOf(weights.embedding);
  if (lookup !== undefined) {
    const width = config.embeddingLength;
    count.flat(lookup, width, 4 + rowBytesOf(weights.embedding, width) / width, rows);
  }
  for (const [index, layers] of weights.layers.entries()) {
    const linears = linearsOf(run.model, layers);
    countAttentionLinears(run, count, linears, rows, layers.count);
    // Of the last layer the second half, and the head, are for the last row alone, if it is wanted.
    const isLast = index === weights.layers.length - 1;
    countFeedForward(run, count, linears, rows, isLast ? layers.count - 1 : layers.count);
    if (isLast && wanted) countFeedForward(run, count, linears, 1, 1);
  }
  if (wanted) countHead(run, count);
}

/** The first half of a layer, to the residual sum, without {@link countAttention}. */
function countAttentionLinears(
  { model, kvType }: RunShape,
  count: OperationCounts,
  { attentionInput, attentionOutput }: LayerLinears,
  rows: number,
  times: number,
): void {
  const { embeddingLength: width, headCount, headCountKv, headDim } = model.config;
  const isLlama = model.architecture === 'llama';
  const kv = headCountKv * headDim;
  const [store, valueBytes] = kvType === 'f32' ? ['store_keys_values_f32', 4] : ['store_keys_values', 2];
  count.norm(rows, width, times);
  count.linears(attentionInput, rows, times);
  for (const heads of [headCount, headCountKv]) {
    const values = rows * heads * headDim;
    const bytes = 8 * values + rows * 4 * headDim;
    count.call(isLlama ? 'rope_norm' : 'rope_neox', times, { rows, elements: values, bytes });
  }
  count.call(store, times, { rows, elements: rows * 2 * kv, bytes: rows * 2 * (4 + valueBytes) * kv });
  if (!isLlama) count.norm(rows, headCount * headDim, times);
  count.linears(attentionOutput, rows, times);
}

/** The second half, from the residual sum on. */
function countFeedForward(
  { model: { architecture, config } }: RunShape,
  count: OperationCounts,
  { feedForwardInput, feedForwardOutput }: LayerLinears,
  rows: number,
  times: number,
): void {
  const { embeddingLength: width, feedForwardLength: inner } = config;
  const isLlama = architecture === 'llama';
  count.flat('add', rows * width, 12, 2 * times);
  count.norm(rows, width, times);
  count.linears(feedForwardInput, rows, times);
  count.flat(isLlama || architecture === 'bitnet' ? 'silu_gate' : 'relu_squared_gate', rows * inner, 12, times);
  if (!isLlama) count.norm(rows, inner, times);
  count.linears(feedForwardOutput, rows, times);
}

function countHead({ model, head }: RunShape, count: OperationCounts): void {
  const { vocabSize, embeddingLength: width } = model.config;
  count.norm(1, width, 1);
  if (head.kind === 'exact') {
    const matrix = { type: headTypeOf(model), rows: vocabSize, columns: width, scale: false, bias: false };
    count.linears([matrix], 1, 1);
    return;
  }
  count.flat('round_to_f16', width, 8, 1);
  const vector = screenedVectorBytes(width);
  count.call('f16_head_quantized', 1, { rows: 1, elements: width, bytes: 4 * width + vector });
  const bytes = vocabSize * (screenedRowBytes(width) + 16) + vector;
  count.call('f16_head_screened', 1, { rows: vocabSize, elements: vocabSize * width, bytes });
  const perRow = { rows: vocabSize, elements: vocabSize };
  count.call('f16_head_largest', 1, { ...perRow, bytes: 4 * vocabSize });
  count.call('f16_head_selected', 1, { ...perRow, bytes: 4 * vocabSize + 4 * screenedTopK({ model, head }) });
}

/** Of an activation vector as it is multiplied with a screened head's copy, and of what bounds its products. */
export function screenedVectorBytes(width: number): number {
  return 256 * Math.ceil(width / 128) + 32;
}

/** Of a screened head's copy, the six bits of a weight that are read of every row, in blocks of 128 columns. */
function screenedRowBytes(width: number): number {
  return 96 * Math.ceil(width / 128);
}

/** How many logits a screened head gives. */
export function screenedTopK({ model, head }: Pick<RunShape, 'model' | 'head'>): number {
  return Math.min(head.topK ?? 0, model.config.vocabSize);
}

/** The engine pauses within the attention of many rows, but leaves no single one. */
function attentionPieces(rows: number): number[] {
  const pieces: number[] = [];
  let left = rows;
  for (; left > ATTENTION_ROWS + 1; left -= ATTENTION_ROWS) pieces.push(ATTENTION_ROWS);
  return [...pieces, left];
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
  const headBytes =
    vocabSize * (head.kind === 'exact' ? rowBytesOf(headTypeOf(model), width) : screenedRowBytes(width));
  return layers.reduce((sum, bytes) => sum + bytes, headBytes);
}
