import {
  type KernelMemory,
  type Lanes,
  type Pointer,
  screenFineRowBytes,
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

/** The int8 copy of the head that the kernels screen with (`packScreen` there). Rows are padded to a multiple of 4. */
export interface ScreenWeights {
  readonly codes: Pointer; // uint8 [rows, screenRowBytes(embeddingLength)]
  readonly fineCodes: Pointer; // uint8 [rows, screenFineRowBytes(embeddingLength)]
  readonly scales: Pointer; // f32 [rows]
  readonly errors: Pointer; // f32 [rows]
  readonly fineErrors: Pointer; // f32 [rows]
}

/** What the copy takes: half of the f16 head if its columns are a multiple of 128, and 12 bytes a row. */
export function screenBytes(config: ModelConfig): number {
  const { embeddingLength } = config;
  return paddedRows(config) * (screenRowBytes(embeddingLength) + screenFineRowBytes(embeddingLength) + 12);
}

/** @param output - the head, F16: `checkModel` refuses others */
export function packScreen(config: ModelConfig, output: Matrix, kernels: WasmKernels): ScreenWeights {
  if (output.layout !== 'F16') throw new TypeError(`a head in ${output.layout} was let through by checkModel`);
  const { vocabSize, embeddingLength } = config;
  const rows = paddedRows(config);
  kernels.reserveScratch(128);
  const codes = kernels.memory.allocate(rows * screenRowBytes(embeddingLength));
  const fineCodes = kernels.memory.allocate(rows * screenFineRowBytes(embeddingLength));
  const scales = kernels.memory.allocate(4 * rows);
  const errors = kernels.memory.allocate(4 * rows);
  const fineErrors = kernels.memory.allocate(4 * rows);
  const screen = { codes, fineCodes, scales, errors, fineErrors };
  const { scratch } = kernels;
  const packed = [codes, fineCodes, scales, errors, fineErrors] as const;
  kernels.packScreen(output.data, 0, vocabSize, embeddingLength, embeddingLength, ...packed, scratch);
  kernels.flush();
  return screen;
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
    products: 4 * topK,
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
  readonly #heap: Pointer; // f32 [topK]
  readonly #products: Pointer; // f32 [topK]
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
      this.#products = this.#allocate(bytes.products);
      this.#candidates = this.#allocate(bytes.candidates);
      kernels.reserveScratch(Math.max(4 * config.embeddingLength + 128, 256));
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
    const { codes, fineCodes, scales, errors, fineErrors } = this.#screen;
    const [values, bounds, lower, upper] = [this.#values, this.#bounds, this.#lower, this.#upper];
    const [products, topK, candidates, out] = [this.#products, this.#topK, this.#candidates, this.#lower];
    kernels.quantizeForScreen(normed, width, values, bounds);
    kernels.screenRows(codes, 0, vocabSize, width, scales, errors, values, bounds, lower, upper, scratch);
    kernels.selectLargest(lower, vocabSize, topK, this.#heap, candidates);
    kernels.rescoreCandidates(this.#output, width, width, normed, candidates, products, lanes, 0, 1, scratch);
    const refined = [scales, fineErrors, values, bounds, products, topK, lower, upper] as const;
    kernels.refineRows(fineCodes, vocabSize, width, ...refined, 0, 1, scratch);
    kernels.selectCandidates(upper, vocabSize, products, topK, this.#capacity, candidates);
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
