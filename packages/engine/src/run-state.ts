import {
  attentionF32ScratchBytes,
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

/** How the cache keeps keys and values: `f16` as the reference does by default, or unrounded. */
export type KvType = 'f16' | 'f32';

export const KV_TYPES: readonly KvType[] = ['f16', 'f32'];

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
  settings: { readonly contextLength: number; readonly kvType: KvType },
  layouts: ReadonlySet<MatrixLayout>,
): SessionBytes {
  const { cache, scratch, ...arrays } = arrayBytes(config, settings, layouts);
  return {
    cache: 2 * config.blockCount * cache,
    activations: scratch + Object.values(arrays).reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** Bytes of each array of a {@link RunState}; `cache` is that of one layer's keys, or values. */
function arrayBytes(
  { embeddingLength, feedForwardLength, headCount, headCountKv, headDim, vocabSize }: ModelConfig,
  { contextLength, kvType }: { readonly contextLength: number; readonly kvType: KvType },
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
  const attentionScratch = kvType === 'f16' ? attentionScratchBytes(headDim, cells) : attentionF32ScratchBytes(cells);
  // Unpacked weights and sums (kernels, `i2sGemm`), or the tables of one row (`tl1Gemv`), whichever is more
  const linearScratch = Math.max(i2sScratchBytes(widest), layouts.has('tl1-tiles') ? 16 * widest : 0);
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
    cache: valueBytesOf(kvType) * kvLength * cells,
    scratch: Math.max(linearScratch, attentionScratch),
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
  readonly kvType: KvType;
  readonly keyCache: readonly Pointer[]; // kvType [headCountKv, cells, headDim] for each layer
  readonly valueCache: readonly Pointer[]; // kvType [headCountKv, headDim, cells] for each layer
  readonly #config: ModelConfig;
  readonly #memory: KernelMemory;
  readonly #pointers: Pointer[] = [];

  constructor(
    config: ModelConfig,
    kernels: WasmKernels,
    settings: { readonly contextLength: number; readonly kvType: KvType },
    weights: Weights,
  ) {
    const { contextLength, kvType } = settings;
    const { headDim, blockCount, ropeFreqBase } = config;
    this.#config = config;
    this.#memory = kernels.memory;
    this.contextLength = contextLength;
    this.kvType = kvType;
    this.cells = paddedCells(contextLength);
    const bytes = arrayBytes(config, settings, weights.layouts);
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

  /** Zeroes the cells [from, to): attention reads unused cells, and they must be zero. */
  clearCells(from: number, to: number): void {
    const bytes = this.#memory.bytes(0, this.#memory.sizeBytes);
    for (const { pointer, sizeBytes } of this.#runs(from, to)) bytes.fill(0, pointer, pointer + sizeBytes);
  }

  /** Takes over the first `length` cells of another state of the same model and kvType. */
  copyCells(other: RunState, length: number): void {
    const bytes = this.#memory.bytes(0, this.#memory.sizeBytes);
    const sources = other.#runs(0, length);
    for (const { pointer } of this.#runs(0, length)) {
      const source = sources.next().value!;
      bytes.copyWithin(pointer, source.pointer, source.pointer + source.sizeBytes);
    }
  }

  /** Bytes of `length` cells as {@link RunState.readCells} gives them. */
  cellBytes(length: number): number {
    const { blockCount, headCountKv, headDim } = this.#config;
    return 2 * blockCount * headCountKv * headDim * valueBytesOf(this.kvType) * length;
  }

  /** Copies the first cells out: for each layer keys [headCountKv, length, headDim], then values [headCountKv, headDim, length]. */
  readCells(length: number, out: Uint8Array): void {
    const bytes = this.#memory.bytes(0, this.#memory.sizeBytes);
    let at = 0;
    for (const { pointer, sizeBytes } of this.#runs(0, length)) {
      out.set(bytes.subarray(pointer, pointer + sizeBytes), at);
      at += sizeBytes;
    }
  }

  /** The inverse of {@link RunState.readCells}. */
  writeCells(length: number, source: Uint8Array): void {
    const bytes = this.#memory.bytes(0, this.#memory.sizeBytes);
    let at = 0;
    for (const { pointer, sizeBytes } of this.#runs(0, length)) {
      bytes.set(source.subarray(at, at + sizeBytes), pointer);
      at += sizeBytes;
    }
  }

  free(): void {
    for (const pointer of this.#pointers.splice(0)) this.#memory.free(pointer);
  }

  /** Where the cells [from, to) are, layer by layer: keys, then values. */
  *#runs(from: number, to: number): Generator<{ pointer: Pointer; sizeBytes: number }, undefined> {
    if (to <= from) return;
    const { headCountKv, headDim } = this.#config;
    const valueBytes = valueBytesOf(this.kvType);
    for (const [layer, keys] of this.keyCache.entries()) {
      for (let head = 0; head < headCountKv; head++) {
        const cell = head * this.cells + from;
        yield { pointer: keys + valueBytes * headDim * cell, sizeBytes: valueBytes * headDim * (to - from) };
      }
      for (let line = 0; line < headCountKv * headDim; line++) {
        const cell = line * this.cells + from;
        yield { pointer: this.valueCache[layer]! + valueBytes * cell, sizeBytes: valueBytes * (to - from) };
      }
    }
  }

  #allocate(sizeBytes: number): Pointer {
    const pointer = this.#memory.allocate(sizeBytes);
    this.#pointers.push(pointer);
    return pointer;
  }
}

function valueBytesOf(kvType: KvType): 2 | 4 {
  return kvType === 'f16' ? 2 : 4;
}

/** Cells that attention reads when the cache holds `length` tokens. */
export function paddedCells(length: number): number {
  return Math.max(KV_PADDING, Math.ceil(length / KV_PADDING) * KV_PADDING);
}
