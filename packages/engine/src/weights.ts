import type { GgufFile, GgufTensor } from '@bittern/gguf-parser';
import type { I2sLayout, KernelMemory, Pointer, WasmKernels } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { EngineError } from './errors.ts';
import { type HeadKind, packScreen, type ScreenWeights } from './screened-head.ts';
import {
  layerNeeds,
  memoryBytesOf,
  outputNormNeed,
  type TensorNeed,
  ternaryTypeOf,
  type TernaryType,
  tokenEmbdNeed,
} from './tensor-needs.ts';
import { type Tl1Kernel, tl1ShapeOf, type Tl1Tilings } from './tl1.ts';

/** A ternary matrix [rows, columns] and its one scale. */
export interface TernaryMatrix {
  /** What the kernels call row pairs and tiles: see `packRowPairs` and `tl1ToTiles` there. */
  readonly layout: 'row-pairs' | 'tl1-tiles';
  readonly rows: number;
  readonly columns: number;
  readonly codes: Pointer;
  readonly scale: number;
}

/** Pointers into the kernels' memory; norms are f32 vectors. */
interface LayerWeights {
  readonly attnNorm: Pointer; // [embeddingLength]
  readonly attnQ: TernaryMatrix; // [embeddingLength, embeddingLength]
  readonly attnK: TernaryMatrix; // [headCountKv * headDim, embeddingLength]
  readonly attnV: TernaryMatrix; // [headCountKv * headDim, embeddingLength]
  readonly attnSubNorm: Pointer; // [embeddingLength]
  readonly attnOutput: TernaryMatrix; // [embeddingLength, embeddingLength]
  readonly ffnNorm: Pointer; // [embeddingLength]
  readonly ffnGate: TernaryMatrix; // [feedForwardLength, embeddingLength]
  readonly ffnUp: TernaryMatrix; // [feedForwardLength, embeddingLength]
  readonly ffnSubNorm: Pointer; // [feedForwardLength]
  readonly ffnDown: TernaryMatrix; // [embeddingLength, feedForwardLength]
}

/** An array of weights in the kernels' memory, for {@link modelDigest}. */
interface WeightArray {
  readonly pointer: Pointer;
  readonly sizeBytes: number;
  /** Of a ternary matrix; undefined for others. */
  readonly matrix: TernaryMatrix | undefined;
}

export interface Weights {
  /** All that the file has, in the order of the graph. */
  readonly arrays: readonly WeightArray[];
  readonly ternaryType: TernaryType;
  readonly tokenEmbd: Pointer; // f16 [vocabSize, embeddingLength]; also the output head
  readonly layers: readonly LayerWeights[];
  readonly outputNorm: Pointer; // [embeddingLength]
  /** The int8 copy of the head, where it was asked for. */
  readonly screen: ScreenWeights | undefined;
}

export interface LoadProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export interface LoadWeightsOptions {
  readonly i2sLayout: I2sLayout;
  readonly tl1Tiling: Tl1Tilings;
  readonly tl1Kernel: Tl1Kernel;
  readonly head: HeadKind;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Bytes read from the source at a time; bounds what loading holds beside the weights themselves. */
const CHUNK_BYTES = 8 << 20;

/**
 * Streams every tensor of the model into the kernels' memory.
 *
 * @param gguf - a file in which `checkModel` found no problem: each tensor is there with its shape and type, and each
 *   TL1 matrix has its tiling
 * @throws {EngineError} ENGINE_INVALID_WEIGHTS
 */
export async function loadWeights(
  gguf: GgufFile,
  config: ModelConfig,
  kernels: WasmKernels,
  options: LoadWeightsOptions,
): Promise<Weights> {
  const ternaryType = ternaryTypeOf(gguf);
  const plan = new LoadPlan(gguf, kernels, options);
  const tokenEmbd = plan.array(tokenEmbdNeed(config));
  const layers = Array.from({ length: config.blockCount }, (_, layer) => {
    const needs = layerNeeds(config, ternaryType, layer);
    return {
      attnNorm: plan.array(needs.attnNorm),
      attnQ: plan.ternary(needs.attnQ),
      attnK: plan.ternary(needs.attnK),
      attnV: plan.ternary(needs.attnV),
      attnSubNorm: plan.array(needs.attnSubNorm),
      attnOutput: plan.ternary(needs.attnOutput),
      ffnNorm: plan.array(needs.ffnNorm),
      ffnGate: plan.ternary(needs.ffnGate),
      ffnUp: plan.ternary(needs.ffnUp),
      ffnSubNorm: plan.array(needs.ffnSubNorm),
      ffnDown: plan.ternary(needs.ffnDown),
    };
  });
  const outputNorm = plan.array(outputNormNeed(config));

  await plan.run();
  const screen = options.head === 'screened' ? packScreen(config, tokenEmbd, kernels) : undefined;
  return { arrays: plan.arrays, ternaryType, tokenEmbd, layers, outputNorm, screen };
}

/** The loads of one file: first all given their place, then all run. */
class LoadPlan {
  readonly arrays: WeightArray[] = [];
  readonly #gguf: GgufFile;
  readonly #kernels: WasmKernels;
  readonly #memory: KernelMemory;
  readonly #options: LoadWeightsOptions;
  readonly #loads: (() => Promise<void>)[] = [];
  readonly #totalBytes: number;
  #loadedBytes = 0;

  constructor(gguf: GgufFile, kernels: WasmKernels, options: LoadWeightsOptions) {
    this.#gguf = gguf;
    this.#kernels = kernels;
    this.#memory = kernels.memory;
    this.#options = options;
    this.#totalBytes = [...gguf.tensors.values()].reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  }

  /** An F16 or F32 tensor, copied as it is. */
  array(need: TensorNeed): Pointer {
    const tensor = this.#gguf.tensors.get(need.name)!;
    const sizeBytes = memoryBytesOf(need);
    const pointer = this.#memory.allocate(sizeBytes);
    this.arrays.push({ pointer, sizeBytes, matrix: undefined });
    this.#loads.push(() => this.#copy(tensor, pointer));
    return pointer;
  }

  /** An I2_S or TL1 tensor, repacked. The result's `scale` holds from when the plan has run. */
  ternary(need: TensorNeed): TernaryMatrix {
    const tensor = this.#gguf.tensors.get(need.name)!;
    const [rows, columns] = need.shape as [number, number];
    const layout = need.type === 'TL1' && this.#options.tl1Kernel === 'lut' ? 'tl1-tiles' : 'row-pairs';
    const sizeBytes = memoryBytesOf(need);
    const codes = this.#memory.allocate(sizeBytes);
    const matrix: TernaryMatrix & { scale: number } = { layout, rows, columns, codes, scale: Number.NaN };
    this.arrays.push({ pointer: codes, sizeBytes, matrix });
    this.#loads.push(async () => {
      await (need.type === 'TL1' ? this.#repackTl1(tensor, matrix) : this.#repackI2s(tensor, matrix));
      matrix.scale = await this.#readScale(tensor, (rows * columns) / 4);
    });
    return matrix;
  }

  async run(): Promise<void> {
    for (const load of this.#loads) await load();
  }

  async #copy(tensor: GgufTensor, pointer: Pointer): Promise<void> {
    for (let at = 0; at < tensor.sizeBytes; at += CHUNK_BYTES) {
      const chunk = await this.#read(tensor, at, Math.min(CHUNK_BYTES, tensor.sizeBytes - at));
      this.#memory.bytes(pointer + at, chunk.length).set(chunk);
    }
    if (tensor.type !== 'F16') return;
    const bad = this.#kernels.findNonFiniteF16(pointer, tensor.elementCount);
    if (bad >= 0) {
      const row = Math.floor(bad / tensor.shape.at(-1)!);
      throw invalid(`Tensor "${tensor.name}" holds NaN or infinity in row ${row}. The file is damaged.`);
    }
  }

  async #repackI2s(tensor: GgufTensor, { rows, columns, codes }: TernaryMatrix): Promise<void> {
    const layout = this.#options.i2sLayout === '128x32' ? 128 : 64;
    await this.#repack(tensor, rows, columns, 2, (packed, count, row) => {
      const bad = this.#kernels.packRowPairs(packed, count, columns, layout, codes + (row * columns) / 4);
      if (bad < 0) return;
      throw invalid(
        `Tensor "${tensor.name}" holds the code 3 in row ${row + bad}; I2_S has only 0, 1 and 2. The file is damaged or not I2_S.`,
      );
    });
  }

  async #repackTl1(tensor: GgufTensor, { layout, rows, columns, codes }: TernaryMatrix): Promise<void> {
    const tiling = this.#options.tl1Tiling[tl1ShapeOf(rows, columns)]!;
    const repack = layout === 'tl1-tiles' ? this.#kernels.tl1ToTiles : this.#kernels.tl1ToRowPairs;
    await this.#repack(tensor, rows, columns, tiling[0], (packed, count, row) => {
      const bad = repack(packed, count, columns, ...tiling, codes + (row * columns) / 4);
      if (bad < 0) return;
      throw invalid(
        `Tensor "${tensor.name}" holds a pair code above 8 in row ${row + bad}, which TL1 does not have. The file is damaged or not TL1.`,
      );
    });
  }

  /**
   * Reads a ternary matrix in pieces.
   *
   * @param unit - pieces are of a multiple of this many rows, which divides `rows`
   * @param repack - called for each piece with where it is, how many rows it has and its first row
   */
  async #repack(
    tensor: GgufTensor,
    rows: number,
    columns: number,
    unit: number,
    repack: (packed: Pointer, count: number, row: number) => void,
  ): Promise<void> {
    const rowBytes = columns / 4;
    const rowsPerChunk = Math.min(rows, Math.max(1, Math.floor(CHUNK_BYTES / rowBytes / unit)) * unit);
    const staging = this.#memory.allocate(rowsPerChunk * rowBytes);
    try {
      for (let row = 0; row < rows; row += rowsPerChunk) {
        const count = Math.min(rowsPerChunk, rows - row);
        const packed = await this.#read(tensor, row * rowBytes, count * rowBytes);
        this.#memory.bytes(staging, packed.length).set(packed);
        repack(staging, count, row);
      }
    } finally {
      this.#memory.free(staging);
    }
  }

  /** A ternary tensor's one scale stands behind its codes, in the first 4 of 32 bytes (numerics, section 1.2). */
  async #readScale(tensor: GgufTensor, codeBytes: number): Promise<number> {
    const trailer = await this.#read(tensor, codeBytes, tensor.sizeBytes - codeBytes);
    const scale = new DataView(trailer.buffer, trailer.byteOffset).getFloat32(0, true);
    if (!Number.isFinite(scale)) {
      throw invalid(`The scale of tensor "${tensor.name}" is ${scale}. The file is damaged.`);
    }
    return scale;
  }

  async #read(tensor: GgufTensor, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const { signal, onProgress } = this.#options;
    const bytes = await this.#gguf.source.read(tensor.offsetBytes + offsetBytes, lengthBytes, signal);
    signal?.throwIfAborted();
    this.#loadedBytes += lengthBytes;
    onProgress?.({ loadedBytes: this.#loadedBytes, totalBytes: this.#totalBytes });
    return bytes;
  }
}

function invalid(message: string): EngineError {
  return new EngineError('ENGINE_INVALID_WEIGHTS', message);
}
