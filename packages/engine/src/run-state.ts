import { attentionScratchBytes, type KernelMemory, type Pointer, type WasmKernels } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';

/** The reference evaluates a longer prompt in pieces of this many tokens (n_ubatch); part of the arithmetic. */
export const MICRO_BATCH = 512;

/** The reference's attention always runs over a multiple of this many cache cells. */
const KV_PADDING = 32;

/** Rows of logits computed at a time: bounds the buffer of a large vocabulary. No influence on the results. */
export const LOGITS_ROWS = 16;

/**
 * Everything a session writes: activations of one micro-batch and the key/value cache, allocated once. `n` is the
 * micro-batch's capacity, min(512, contextLength). All f32 unless it says otherwise.
 */
export class RunState {
  readonly contextLength: number;
  /** contextLength rounded up to a multiple of 32. */
  readonly cells: number;
  readonly x: Pointer; // [n, embeddingLength]: the residual stream
  readonly normed: Pointer; // [n, max(embeddingLength, feedForwardLength)]: input of the next matrix product
  readonly values: Pointer; // int8, the same shape: `normed` quantized
  readonly scales: Pointer; // [n]
  readonly sums: Pointer; // int32 [n]
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

  /** @param usesTables - whether weights are run by TL1's look-up tables */
  constructor(config: ModelConfig, kernels: WasmKernels, contextLength: number, usesTables: boolean) {
    const { embeddingLength, feedForwardLength, headCount, headCountKv, headDim, vocabSize, blockCount, ropeFreqBase } =
      config;
    this.#config = config;
    this.#memory = kernels.memory;
    this.contextLength = contextLength;
    this.cells = paddedCells(contextLength);
    const n = Math.min(MICRO_BATCH, contextLength);
    const widest = Math.max(embeddingLength, feedForwardLength);
    const kvLength = headCountKv * headDim;
    const cacheBytes = 2 * kvLength * this.cells;
    try {
      this.x = this.#allocate(4 * n * embeddingLength);
      this.normed = this.#allocate(4 * n * widest);
      this.values = this.#allocate(n * widest);
      this.scales = this.#allocate(4 * n);
      this.sums = this.#allocate(4 * n);
      this.q = this.#allocate(4 * n * embeddingLength);
      this.k = this.#allocate(4 * n * kvLength);
      this.v = this.#allocate(4 * n * kvLength);
      this.attended = this.#allocate(4 * n * embeddingLength);
      this.projected = this.#allocate(4 * n * embeddingLength);
      this.gate = this.#allocate(4 * n * feedForwardLength);
      this.up = this.#allocate(4 * n * feedForwardLength);
      this.logits = this.#allocate(4 * Math.min(n, LOGITS_ROWS) * vocabSize);
      this.cosines = this.#allocate(2 * contextLength * headDim);
      this.sines = this.#allocate(2 * contextLength * headDim);
      this.keyCache = Array.from({ length: blockCount }, () => this.#allocate(cacheBytes));
      this.valueCache = Array.from({ length: blockCount }, () => this.#allocate(cacheBytes));
      // Unpacked rows, or the tables of TL1, which are larger
      const linearBytes = (usesTables ? 16 : 4) * widest;
      kernels.reserveScratch(Math.max(linearBytes, attentionScratchBytes(headCount, headCountKv, headDim, this.cells)));
    } catch (error) {
      this.free();
      throw error;
    }
    const ratio = kernels.ropeRatio(ropeFreqBase, headDim);
    kernels.ropeTable(0, contextLength, headDim, ratio, this.cosines, this.sines);
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
