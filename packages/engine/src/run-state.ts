import {
  attentionScratchBytes,
  i2sScratchBytes,
  type KernelMemory,
  type Pointer,
  type WasmKernels,
} from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { activationsOf, type MatrixLayout } from './matrix-types.ts';
import type { Weights } from './weights.ts';

/** The reference evaluates a longer prompt in pieces of this many tokens (n_ubatch); part of the arithmetic. */
export const MICRO_BATCH = 512;

/** The reference's attention always runs over a multiple of this many cache cells. */
const KV_PADDING = 32;

/** Rows of logits computed at a time: bounds the buffer of a large vocabulary. No influence on the results. */
export const LOGITS_ROWS = 16;

/** What a session takes in the kernels' memory, in bytes. */
export interface SessionBytes {
  /** Keys and values of the whole context. */
  readonly cache: number;
  /** Activations of one micro-batch, tables and scratch (for one thread). */
  readonly activations: number;
}

/** See {@link RunState}. */
export function sessionBytes(
  config: ModelConfig,
  contextLength: number,
  layouts: ReadonlySet<MatrixLayout>,
): SessionBytes {
  const { cache, scratch, ...arrays } = arrayBytes(config, contextLength, layouts);
  return {
    cache: 2 * config.blockCount * cache,
    activations: scratch + Object.values(arrays).reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** Bytes of each array of a {@link RunState}; `cache` is that of one layer's keys, or values. */
function arrayBytes(
  { embeddingLength, feedForwardLength, headCount, headCountKv, headDim, vocabSize }: ModelConfig,
  contextLength: number,
  layouts: ReadonlySet<MatrixLayout>,
) {
  const n = Math.min(MICRO_BATCH, contextLength);
  const attentionLength = headCount * headDim;
  const widest = Math.max(embeddingLength, feedForwardLength, attentionLength);
  const activations = new Set([...layouts].map(activationsOf));
  const scalesPerRow = activations.has('Q8_0') ? widest / 32 : activations.has('Q8_K') ? Math.ceil(widest / 256) : 1;
  const roundedRows = activations.has('BF16') ? n : activations.has('F16') ? 1 : 0;
  const kvLength = headCountKv * headDim;
  const cells = paddedCells(contextLength);
  // The tables of one row (kernels, `tl1Gemv`), or unpacked weights (`i2sGemm`), which is more than others want
  const linearScratch = layouts.has('tl1-tiles') ? 16 * widest : i2sScratchBytes(widest);
  return {
    x: 4 * n * embeddingLength,
    normed: 4 * n * widest,
    values: n * widest,
    scales: 4 * n * scalesPerRow,
    sums: activations.has('Q8_K') ? (n * widest) / 8 : 4 * n,
    rounded: 4 * roundedRows * widest,
    q: 4 * n * attentionLength,
    k: 4 * n * kvLength,
    v: 4 * n * kvLength,
    attended: 4 * n * attentionLength,
    projected: 4 * n * embeddingLength,
    gate: 4 * n * feedForwardLength,
    up: 4 * n * feedForwardLength,
    logits: 4 * Math.min(n, LOGITS_ROWS) * vocabSize,
    cosines: 2 * contextLength * headDim,
    sines: 2 * contextLength * headDim,
    cache: 2 * kvLength * cells,
    scratch: Math.max(linearScratch, attentionScratchBytes(headDim, cells)),
  };
}

/**
 * Everything a session writes: activations of one micro-batch and the key/value cache, allocated once. `n` is the
 * micro-batch's capacity, min(512, contextLength). All f32 unless it says otherwise.
 */
export class RunState {
  readonly contextLength: number;
  /** contextLength rounded up to a multiple of 32. */
  readonly cells: number;
  readonly x: Pointer; // [n, embeddingLength]: the residual stream
  readonly normed: Pointer; // [n, widest of embeddingLength, feedForwardLength and headCount * headDim]
  // Input of the next matrix products, as they want it:
  readonly values: Pointer; // int8 [n, widest]
  readonly scales: Pointer; // [n], or for each block of 32 or 256 values
  readonly sums: Pointer; // int32 [n], or int16 for each 16 values
  readonly rounded: Pointer; // to bf16 [n, widest], or f16 [1, widest]
  readonly q: Pointer; // [n, headCount, headDim]
  readonly k: Pointer; // [n, headCountKv, headDim]
  readonly v: Pointer; // [n, headCountKv, headDim]
  readonly attended: Pointer; // [n, headCount, headDim]
  readonly projected: Pointer; // [n, embeddingLength]: attention output or ffn_down, before the residual sum
  readonly gate: Pointer; // [n, feedForwardLength]
  readonly up: Pointer; // [n, feedForwardLength]
  readonly logits: Pointer; // [min(n, 16), vocabSize]
  readonly cosines: Pointer; // [contextLength, headDim / 2]
  readonly sines: Pointer; // [contextLength, headDim / 2]
  readonly keyCache: readonly Pointer[]; // f16 [headCountKv, cells, headDim] for each layer
  readonly valueCache: readonly Pointer[]; // f16 [headCountKv, headDim, cells] for each layer
  readonly #config: ModelConfig;
  readonly #memory: KernelMemory;
  readonly #pointers: Pointer[] = [];

  constructor(config: ModelConfig, kernels: WasmKernels, contextLength: number, weights: Weights) {
    const { headDim, blockCount, ropeFreqBase } = config;
    this.#config = config;
    this.#memory = kernels.memory;
    this.contextLength = contextLength;
    this.cells = paddedCells(contextLength);
    const bytes = arrayBytes(config, contextLength, weights.layouts);
    try {
      this.x = this.#allocate(bytes.x);
      this.normed = this.#allocate(bytes.normed);
      this.values = this.#allocate(bytes.values);
      this.scales = this.#allocate(bytes.scales);
      this.sums = this.#allocate(bytes.sums);
      this.rounded = this.#allocate(bytes.rounded);
      this.q = this.#allocate(bytes.q);
      this.k = this.#allocate(bytes.k);
      this.v = this.#allocate(bytes.v);
      this.attended = this.#allocate(bytes.attended);
      this.projected = this.#allocate(bytes.projected);
      this.gate = this.#allocate(bytes.gate);
      this.up = this.#allocate(bytes.up);
      this.logits = this.#allocate(bytes.logits);
      this.cosines = this.#allocate(bytes.cosines);
      this.sines = this.#allocate(bytes.sines);
      this.keyCache = Array.from({ length: blockCount }, () => this.#allocate(bytes.cache));
      this.valueCache = Array.from({ length: blockCount }, () => this.#allocate(bytes.cache));
      kernels.reserveScratch(bytes.scratch);
    } catch (error) {
      this.free();
      throw error;
    }
    const ratio = kernels.ropeRatio(ropeFreqBase, headDim);
    kernels.ropeTable(0, contextLength, headDim, ratio, weights.ropeFreqs ?? 0, this.cosines, this.sines);
  }

  /** Zeroes the cache from cell `position` on: attention reads unused cells, and they must be zero. */
  clearCells(position: number): void {
    const { headCountKv, headDim } = this.#config;
    for (const pointer of this.keyCache) {
      const cache = this.#memory.u16(pointer, headCountKv * this.cells * headDim);
      for (let head = 0; head < headCountKv; head++) {
        cache.fill(0, (head * this.cells + position) * headDim, (head + 1) * this.cells * headDim);
      }
    }
    for (const pointer of this.valueCache) {
      const cache = this.#memory.u16(pointer, headCountKv * headDim * this.cells);
      for (let line = 0; line < headCountKv * headDim; line++) {
        cache.fill(0, line * this.cells + position, (line + 1) * this.cells);
      }
    }
  }

  free(): void {
    for (const pointer of this.#pointers.splice(0)) this.#memory.free(pointer);
  }

  #allocate(sizeBytes: number): Pointer {
    const pointer = this.#memory.allocate(sizeBytes);
    this.#pointers.push(pointer);
    return pointer;
  }
}

/** Cells that attention reads when the cache holds `length` tokens. */
export function paddedCells(length: number): number {
  return Math.max(KV_PADDING, Math.ceil(length / KV_PADDING) * KV_PADDING);
}
