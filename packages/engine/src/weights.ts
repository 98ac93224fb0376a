import type { GgufFile, GgufTensor } from '@bittern/gguf-parser';
import type { I2sLayout, KernelMemory, Pointer, WasmKernels } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { EngineError } from './errors.ts';
import { layerNeeds, memoryBytesOf, outputNormNeed, type TensorNeed, tokenEmbdNeed } from './tensor-needs.ts';

/** A ternary matrix [rows, columns] in the kernels' row-pair layout, and its one scale. */
export interface TernaryMatrix {
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

export interface Weights {
  readonly tokenEmbd: Pointer; // f16 [vocabSize, embeddingLength]; also the output head
  readonly layers: readonly LayerWeights[];
  readonly outputNorm: Pointer; // [embeddingLength]
}

export interface LoadProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export interface LoadWeightsOptions {
  readonly i2sLayout: I2sLayout;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Bytes read from the source at a time; bounds what loading holds beside the weights themselves. */
const CHUNK_BYTES = 8 << 20;

/**
 * Streams every tensor of the model into the kernels' memory.
 *
 * @param gguf - a file in which `checkModel` found no problem: each tensor is there with its shape and type
 * @throws {EngineError} ENGINE_INVALID_WEIGHTS
 */
export async function loadWeights(
  gguf: GgufFile,
  config: ModelConfig,
  kernels: WasmKernels,
  options: LoadWeightsOptions,
): Promise<Weights> {
  const plan = new LoadPlan(gguf, kernels, options);
  const tokenEmbd = plan.array(tokenEmbdNeed(config));
  const layers = Array.from({ length: config.blockCount }, (_, layer) => {
    const needs = layerNeeds(config, layer);
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
  return { tokenEmbd, layers, outputNorm };
}

/** The loads of one file: first all given their place, then all run. */
class LoadPlan {
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
    const pointer = this.#memory.allocate(memoryBytesOf(need));
    this.#loads.push(() => this.#copy(tensor, pointer));
    return pointer;
  }

  /** An I2_S tensor, repacked. The result's `scale` holds from when the plan has run. */
  ternary(need: TensorNeed): TernaryMatrix {
    const tensor = this.#gguf.tensors.get(need.name)!;
    const [rows, columns] = need.shape as [number, number];
    const matrix = { rows, columns, codes: this.#memory.allocate(memoryBytesOf(need)), scale: Number.NaN };
    this.#loads.push(async () => {
      matrix.scale = await this.#repack(tensor, matrix);
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

  async #repack(tensor: GgufTensor, { rows, columns, codes }: TernaryMatrix): Promise<number> {
    const rowBytes = columns / 4;
    const rowsPerChunk = Math.min(rows, Math.max(2, Math.floor(CHUNK_BYTES / rowBytes / 2) * 2));
    const layout = this.#options.i2sLayout === '128x32' ? 128 : 64;
    const staging = this.#memory.allocate(rowsPerChunk * rowBytes);
    try {
      for (let row = 0; row < rows; row += rowsPerChunk) {
        const count = Math.min(rowsPerChunk, rows - row);
        const packed = await this.#read(tensor, row * rowBytes, count * rowBytes);
        this.#memory.bytes(staging, packed.length).set(packed);
        const bad = this.#kernels.packRowPairs(staging, count, columns, layout, codes + row * rowBytes);
        if (bad >= 0) {
          throw invalid(
            `Tensor "${tensor.name}" holds the code 3 in row ${row + bad}; I2_S has only 0, 1 and 2. The file is damaged or not I2_S.`,
          );
        }
      }
    } finally {
      this.#memory.free(staging);
    }
    // The tensor's one scale stands behind its codes, in the first 4 of 32 bytes (numerics, section 1.2).
    const trailer = await this.#read(tensor, rows * rowBytes, tensor.sizeBytes - rows * rowBytes);
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
