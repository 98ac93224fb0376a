import type { Lanes, Pointer, WasmKernels } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { MatrixProducts, widenRow } from './linear.ts';
import { LOGITS_ROWS, paddedCells, type RunState } from './run-state.ts';
import type { ScreenedHead } from './screened-head.ts';
import type { Logits } from './top-logits.ts';
import type { StepTaps } from './trace.ts';
import type { Linear, Weights } from './weights.ts';

/** Rows of a micro-batch whose logits are wanted. Part of the arithmetic: the head treats one row and several differently. */
export type WantedRows = 'all' | 'last' | 'none';

export interface MicroBatch {
  /** At most 512. */
  readonly ids: readonly number[];
  /** Position of the first id: the number of cache cells in use. */
  readonly position: number;
  readonly wanted: WantedRows;
  readonly lanes: Lanes;
  readonly taps?: StepTaps | undefined;
  /** Takes the head's place where only the largest logits are wanted; `wanted` is then not `all`. */
  readonly screenedHead?: ScreenedHead | undefined;
  /** Called for each wanted row in order: with a view that is valid during the call, or what the screened head gives. */
  onLogits(row: Logits, position: number): void;
}

/** Rows of attention between two pauses: over a long context all of a micro-batch would take longer than a token. */
const ATTENTION_ROWS = 64;

/**
 * The whole transformer for one micro-batch, every operation in the reference's order (numerics, section 5.1).
 * Appends the ids' keys and values to the cache in `s`. Each operation is followed by its taps.
 *
 * Yields after each part of a layer: places where it may pause, or end, if {@link WasmKernels.flush} is called first.
 */
export function* forward(
  config: ModelConfig,
  weights: Weights,
  s: RunState,
  kernels: WasmKernels,
  batch: MicroBatch,
): Generator<void, void, void> {
  const { embeddingLength, feedForwardLength, headCount, headCountKv, headDim, vocabSize } = config;
  const { ids, position, wanted, lanes, taps } = batch;
  const cells = paddedCells(position + ids.length);
  const scoreScale = Math.fround(1 / Math.fround(Math.sqrt(headDim)));
  let n = ids.length; // rows; one from the last layer's feed-forward network on, if only the last row is wanted
  let x = s.x; // [n, embeddingLength]

  /** s.normed = rms(source) * weight */
  const norm = (source: Pointer, weight: Pointer, width: number, normName: string, name: string): void => {
    kernels.rmsNorm(source, weight, 0, n, width, config.layerNormRmsEpsilon, s.normed, taps?.normalized ?? 0);
    taps?.emit(normName, [n, width], taps.normalized);
    taps?.emit(name, [n, width], s.normed);
  };
  const storeKeysValues = s.kvType === 'f16' ? kernels.storeKeysValues : kernels.storeKeysValuesF32;
  const attention = s.kvType === 'f16' ? kernels.attention : kernels.attentionF32;
  const products = new MatrixProducts(kernels, s, lanes, weights.ternaryType);
  /** out = matrix · input (* scale) (+ bias). `name` is the tap of the result, `productName` that before a bias. */
  const linear = ({ matrix, scale, bias }: Linear, out: Pointer, name?: string, productName?: string): void => {
    const shape = [n, matrix.rows];
    products.multiply(matrix, out);
    if (scale !== undefined) kernels.multiplyBy(out, n * matrix.rows, scale);
    if (bias !== undefined) {
      if (productName !== undefined) taps?.emit(productName, shape, out);
      kernels.addToRows(out, 0, n, matrix.rows, bias);
    }
    if (name !== undefined) taps?.emit(name, shape, out);
  };
  const isLlama = config.graph === 'llama';
  const rope = isLlama ? kernels.ropeNorm : kernels.ropeNeox;
  const attentionLength = headCount * headDim;

  // Embedding rows, as f32
  for (const [row, id] of ids.entries()) widenRow(kernels, weights.tokenEmbd, id, x + 4 * row * embeddingLength);
  taps?.emit('inp_embd', [n, embeddingLength], x);

  for (const [layer, w] of weights.layers.entries()) {
    // Queries, keys and values
    norm(x, w.attnNorm, embeddingLength, `norm-${layer}`, `attn_norm-${layer}`);
    products.setInput(s.normed, n, embeddingLength);
    linear(w.attnQ, s.q, `Qcur-${layer}`, `Qcur-${layer}`);
    rope(s.q, 0, n, headCount, headDim, position, s.cosines, s.sines);
    taps?.emit(`Qcur-${layer}`, [n, headCount, headDim], s.q);
    linear(w.attnK, s.k, `Kcur-${layer}`, `Kcur-${layer}`);
    rope(s.k, 0, n, headCountKv, headDim, position, s.cosines, s.sines);
    taps?.emit(`Kcur-${layer}`, [n, headCountKv, headDim], s.k);
    linear(w.attnV, s.v, `Vcur-${layer}`, `Vcur-${layer}`);
    yield;

    // Attention over the cache, this batch included
    const keys = s.keyCache[layer]!;
    const values = s.valueCache[layer]!;
    storeKeysValues(s.k, s.v, n, headCountKv, headDim, position, s.cells, keys, values);
    for (let row = 0, rows = 0; row < n; row += rows) {
      // Never a single row of several: alone it would be computed otherwise.
      rows = taps || n - row <= ATTENTION_ROWS + 1 ? n - row : ATTENTION_ROWS;
      const offset = 4 * row * headCount * headDim;
      attention(
        s.q + offset,
        0,
        headCount,
        headCount,
        headCountKv,
        headDim,
        rows,
        position + row,
        keys,
        values,
        s.cells,
        cells,
        scoreScale,
        lanes,
        s.attended + offset,
        taps?.scores ?? 0,
        taps?.probabilities ?? 0,
        kernels.scratch,
      );
      yield;
    }
    taps?.emit(`kq-${layer}`, [headCount, n, cells], taps.scores);
    taps?.emit(`kq_soft_max_ext-${layer}`, [headCount, n, cells], taps.probabilities);
    taps?.emitByHead(`kqv-${layer}`, n, headCount, headDim, s.attended);
    taps?.emit(isLlama ? `kqv_merged_cont-${layer}` : `kqv_out-${layer}`, [n, attentionLength], s.attended);

    // Attention output, added to the residual stream
    if (w.attnSubNorm !== undefined) {
      norm(s.attended, w.attnSubNorm, attentionLength, `norm-${layer}`, `attn_sub_norm-${layer}`);
      products.setInput(s.normed, n, attentionLength);
      linear(w.attnOutput, s.projected, `attn_o_out-${layer}`);
    } else {
      products.setInput(s.attended, n, attentionLength);
      linear(w.attnOutput, s.projected, `kqv_out-${layer}`, `kqv_wo-${layer}`);
    }
    let projected = s.projected;
    if (layer === weights.layers.length - 1 && wanted !== 'all') {
      // From here on the last layer has only the rows whose logits are wanted
      if (wanted === 'none') return kernels.flush();
      x += 4 * (n - 1) * embeddingLength;
      projected += 4 * (n - 1) * embeddingLength;
      n = 1;
    }
    kernels.add(projected, x, n * embeddingLength, x);
    taps?.emit(`ffn_inp-${layer}`, [n, embeddingLength], x);
    yield;

    // Feed-forward network, added to the residual stream
    norm(x, w.ffnNorm, embeddingLength, `norm-${layer}`, `ffn_norm-${layer}`);
    products.setInput(s.normed, n, embeddingLength);
    linear(w.ffnGate, s.gate, w.ffnGate.bias ? `ffn_gate_b-${layer}` : `ffn_gate-${layer}`, `ffn_gate-${layer}`);
    yield;
    linear(w.ffnUp, s.up);
    yield;
    const shape = [n, feedForwardLength];
    const upName = w.ffnUp.bias ? `ffn_up_b-${layer}` : `ffn_up-${layer}`;
    const up = taps?.hold(upName, shape, s.up) ?? s.up; // its tap follows the activation's
    const count = n * feedForwardLength;
    if (config.activation === 'silu') {
      kernels.siluGate(s.gate, s.up, count, lanes, s.gate, taps?.activated ?? 0);
      taps?.emit(`ffn_silu-${layer}`, shape, taps.activated);
      taps?.emit(upName, shape, up);
      taps?.emit(isLlama ? `ffn_gate_par-${layer}` : `ffn_sub_out-${layer}`, shape, s.gate);
    } else {
      kernels.reluSquaredGate(s.gate, s.up, count, s.gate, taps?.activated ?? 0, taps?.squared ?? 0);
      taps?.emit(`ffn_relu-${layer}`, shape, taps.activated);
      taps?.emit(`ffn_sqr(relu)-${layer}`, shape, taps.squared);
      taps?.emit(`ffn_up-${layer}`, shape, up);
      taps?.emit(`ffn_out-${layer}`, shape, s.gate);
    }
    if (w.ffnSubNorm !== undefined) {
      norm(s.gate, w.ffnSubNorm, feedForwardLength, `norm-${layer}`, `ffn_sub_norm-${layer}`);
      products.setInput(s.normed, n, feedForwardLength);
      linear(w.ffnDown, s.projected, `ffn_down-${layer}`);
    } else {
      products.setInput(s.gate, n, feedForwardLength);
      linear(w.ffnDown, s.projected, `ffn_out-${layer}`, `ffn_down-${layer}`);
    }
    kernels.add(s.projected, x, n * embeddingLength, x);
    taps?.emit(`l_out-${layer}`, [n, embeddingLength], x);
    yield;
  }

  // Head
  norm(x, weights.outputNorm, embeddingLength, 'norm', 'result_norm');
  const firstPosition = position + ids.length - n;
  if (batch.screenedHead) {
    kernels.roundToF16(s.normed, embeddingLength, s.normed); // one row (numerics, section 5.4)
    return batch.onLogits(batch.screenedHead.run(s.normed, lanes), firstPosition);
  }
  const resultOutput = taps && new Float32Array(n * vocabSize);
  for (let first = 0; first < n; first += LOGITS_ROWS) {
    const rows = Math.min(LOGITS_ROWS, n - first);
    products.setInput(s.normed + 4 * first * embeddingLength, rows, embeddingLength, n === 1);
    products.multiply(weights.output, s.logits);
    kernels.flush();
    for (let row = 0; row < rows; row++) {
      const logits = kernels.memory.f32(s.logits + 4 * row * vocabSize, vocabSize);
      resultOutput?.set(logits, (first + row) * vocabSize);
      batch.onLogits(logits, firstPosition + first + row);
    }
    yield;
  }
  if (resultOutput) taps?.emit('result_output', [n, vocabSize], resultOutput);
}
