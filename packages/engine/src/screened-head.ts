import {
  type KernelMemory,
  type Lanes,
  type Pointer,
  screenRowBytes,
  screenValuesBytes,
  type WasmKernels,
} from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { indicesOfLargest, type TopLogits } from './top-logits.ts';
import type { Matrix } from './weights.ts';

/** How logits come about: `exact` computes all; `screened` only those that can be among the largest, with the same bits. */
export type HeadKind = 'exact' | 'screened';

export const HEAD_KINDS: readonly HeadKind[] = ['exact', 'screened'];

/** The copy of the head in six bits a weight that the kernels screen with (`packScreen` there). Rows are padded to a multiple of 4. */
export interface ScreenWeights {
  readonly codes: Pointer; // uint8 [rows, screenRowBytes(embeddingLength)]
  readonly scales: Pointer; // f32 [rows]
  readonly errors: Pointer; // f32 [rows]
}

/** What the copy takes: three eighths of the f16 head, and 8 bytes a row. */
export function screenBytes(config: ModelConfig): number {
  return paddedRows(config) * (screenRowBytes(config.embeddingLength) + 8);
}

/** @param output - the head, F16: `checkModel` refuses others */
export function packScreen(config: ModelConfig, output: Matrix, kernels: WasmKernels): ScreenWeights {
  if (output.layout !== 'F16') throw new TypeError(`a head in ${output.layout} was let through by checkModel`);
  const { vocabSize, embeddingLength } = config;
  const rows = paddedRows(config);
  kernels.reserveScratch(128);
  const codes = kernels.memory.allocate(rows * screenRowBytes(embeddingLength));
  const scales = kernels.memory.allocate(4 * rows);
  const errors = kernels.memory.allocate(4 * rows);
  const { scratch } = kernels;
  kernels.packScreen(output.data, 0, vocabSize, embeddingLength, embeddingLength, codes, scales, errors, scratch);
  kernels.flush();
  return { codes, scales, errors };
}

/** What a session's own {@link ScreenedHead} takes. */
export function screenedHeadBytes(config: ModelConfig, topK: number): number {
  return Object.values(arrayBytes(config, topK)).reduce((sum, bytes) => sum + bytes, 0);
}

function arrayBytes(config: ModelConfig, topK: number) {
  return {
    values: screenValuesBytes(config.embeddingLength),
    bounds: 4 * 8,
    lower: 4 * paddedRows(config),
    upper: 4 * paddedRows(config),
    heap: 4 * topK,
    candidates: 4 * (1 + capacityOf(config, topK)),
  };
}

/** More candidates than a quarter of the rows, read here and there, take about as long as all in a row. */
function capacityOf({ vocabSize }: ModelConfig, topK: number): number {
  return Math.max(topK, Math.ceil(vocabSize / 4));
}

/** One session's screened head: gives the k largest logits of a row, with the bits of the exact head. */
export class ScreenedHead {
  readonly #config: ModelConfig;
  readonly #kernels: WasmKernels;
  readonly #memory: KernelMemory;
  readonly #output: Pointer; // f16 [vocabSize, embeddingLength]
  readonly #screen: ScreenWeights;
  readonly #topK: number;
  readonly #capacity: number;
  readonly #values: Pointer; // int8 [screenValuesBytes(embeddingLength)]
  readonly #bounds: Pointer; // f64 [4]
  readonly #lower: Pointer; // f32 [rows]; then the logits that are computed
  readonly #upper: Pointer; // f32 [rows]
  readonly #heap: Pointer; // f32 [topK]; then the first logits that are computed
  readonly #candidates: Pointer; // int32 [1 + capacity]
  readonly #pointers: Pointer[] = [];

  constructor(config: ModelConfig, kernels: WasmKernels, output: Matrix, screen: ScreenWeights, topK: number) {
    this.#config = config;
    this.#kernels = kernels;
    this.#memory = kernels.memory;
    this.#output = output.data;
    this.#screen = screen;
    this.#topK = topK;
    this.#capacity = capacityOf(config, topK);
    const bytes = arrayBytes(config, topK);
    try {
      this.#values = this.#allocate(bytes.values);
      this.#bounds = this.#allocate(bytes.bounds);
      this.#lower = this.#allocate(bytes.lower);
      this.#upper = this.#allocate(bytes.upper);
      this.#heap = this.#allocate(bytes.heap);
      this.#candidates = this.#allocate(bytes.candidates);
      kernels.reserveScratch(4 * config.embeddingLength + 256);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  /**
   * @param normed - f32 [embeddingLength] of f16 values, the head's input
   * @returns if a logit is NaN or infinite only that of the lowest such id, which samplers refuse
   */
  run(normed: Pointer, lanes: Lanes): TopLogits {
    const { vocabSize, embeddingLength: width } = this.#config;
    const kernels = this.#kernels;
    const { scratch } = kernels;
    const { codes, scales, errors } = this.#screen;
    const [lower, upper, heap, candidates, out] = [this.#lower, this.#upper, this.#heap, this.#candidates, this.#lower];
    kernels.quantizeForScreen(normed, width, this.#values, this.#bounds);
    kernels.screenRows(codes, 0, vocabSize, width, scales, errors, this.#values, this.#bounds, lower, upper, scratch);
    kernels.selectLargest(lower, vocabSize, this.#topK, heap, candidates);
    kernels.rescoreCandidates(this.#output, width, width, normed, candidates, heap, lanes, 0, 1, scratch);
    kernels.selectCandidates(heap, this.#topK, upper, vocabSize, this.#capacity, candidates);
    kernels.rescoreCandidates(this.#output, width, width, normed, candidates, out, lanes, 0, 1, scratch);
    kernels.f16GemvUnscreened(this.#output, vocabSize, width, width, normed, candidates, out, lanes, 0, 1, scratch);
    kernels.flush();
    const count = this.#memory.i32(candidates, 1)[0]!;
    const rows = count < 0 ? undefined : this.#memory.i32(candidates + 4, count);
    const logits = this.#memory.f32(out, rows?.length ?? vocabSize);
    const bad = logits.findIndex((logit) => !Number.isFinite(logit));
    const chosen = bad >= 0 ? [bad] : indicesOfLargest(logits, Math.min(this.#topK, logits.length));
    return {
      ids: Uint32Array.from(chosen, (index) => rows?.[index] ?? index),
      logits: Float32Array.from(chosen, (index) => logits[index]!),
      vocabSize,
    };
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

function paddedRows({ vocabSize }: ModelConfig): number {
  return Math.ceil(vocabSize / 4) * 4;
}
