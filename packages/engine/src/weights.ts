import type { GgufFile, GgufTensor } from '@bittern/gguf-parser';
import type { I2sLayout, KernelMemory, Pointer, Tl1Tiling, WasmKernels } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { EngineError } from './errors.ts';
import { missingTilings, type Tl1Kernel, tl1TilingOf, type Tl1Tilings } from './tl1.ts';

/** The type of a file's ternary matrices, all of them. They are quantized for by different rules (numerics, 3 and 4). */
export type TernaryType = 'I2_S' | 'TL1';

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

export interface Weights {
  readonly ternaryType: TernaryType;
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
  readonly tl1Tiling: Tl1Tilings;
  readonly tl1Kernel: Tl1Kernel;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** The reference's graph uses the tied embedding as head even if this is present (numerics, section 5). */
const IGNORED_TENSOR = 'output.weight';

/** Bytes read from the source at a time; bounds what loading holds beside the weights themselves. */
const CHUNK_BYTES = 8 << 20;

/**
 * Streams every tensor of the model into the kernels' memory. All are checked before the first byte is read: each
 * that the model needs is there with its shape and type, and none is left over.
 *
 * @throws {EngineError} ENGINE_MISSING_TENSOR, ENGINE_TENSOR_MISMATCH, ENGINE_UNUSED_TENSOR, ENGINE_TL1_TILING,
 *   ENGINE_INVALID_WEIGHTS
 */
export async function loadWeights(
  gguf: GgufFile,
  config: ModelConfig,
  kernels: WasmKernels,
  options: LoadWeightsOptions,
): Promise<Weights> {
  const { embeddingLength, feedForwardLength, headCountKv, headDim, vocabSize, blockCount } = config;
  const kvLength = headCountKv * headDim;
  const plan = new LoadPlan(gguf, kernels, options);

  const tokenEmbd = plan.array('token_embd.weight', 'F16', [vocabSize, embeddingLength]);
  const layers = Array.from({ length: blockCount }, (_, layer) => {
    const name = (suffix: string): string => `blk.${layer}.${suffix}.weight`;
    return {
      attnNorm: plan.array(name('attn_norm'), 'F32', [embeddingLength]),
      attnQ: plan.ternary(name('attn_q'), embeddingLength, embeddingLength),
      attnK: plan.ternary(name('attn_k'), kvLength, embeddingLength),
      attnV: plan.ternary(name('attn_v'), kvLength, embeddingLength),
      attnSubNorm: plan.array(name('attn_sub_norm'), 'F32', [embeddingLength]),
      attnOutput: plan.ternary(name('attn_output'), embeddingLength, embeddingLength),
      ffnNorm: plan.array(name('ffn_norm'), 'F32', [embeddingLength]),
      ffnGate: plan.ternary(name('ffn_gate'), feedForwardLength, embeddingLength),
      ffnUp: plan.ternary(name('ffn_up'), feedForwardLength, embeddingLength),
      ffnSubNorm: plan.array(name('ffn_sub_norm'), 'F32', [feedForwardLength]),
      ffnDown: plan.ternary(name('ffn_down'), embeddingLength, feedForwardLength),
    };
  });
  const outputNorm = plan.array('output_norm.weight', 'F32', [embeddingLength]);
  plan.refuseUnused();
  plan.refuseMissingTilings();

  await plan.run();
  return { ternaryType: plan.ternaryType, tokenEmbd, layers, outputNorm };
}

/** The loads of one file: first all checked and given their place, then all run. */
class LoadPlan {
  readonly ternaryType: TernaryType;
  readonly #gguf: GgufFile;
  readonly #kernels: WasmKernels;
  readonly #memory: KernelMemory;
  readonly #options: LoadWeightsOptions;
  readonly #used = new Set<string>();
  readonly #loads: (() => Promise<void>)[] = [];
  /** TL1 matrices for which no tiling was given. */
  readonly #missingTilings = new Set<string>();
  readonly #totalBytes: number;
  #loadedBytes = 0;

  constructor(gguf: GgufFile, kernels: WasmKernels, options: LoadWeightsOptions) {
    this.#gguf = gguf;
    this.#kernels = kernels;
    this.#memory = kernels.memory;
    this.#options = options;
    this.ternaryType = gguf.tensors.get('blk.0.attn_q.weight')?.type === 'TL1' ? 'TL1' : 'I2_S';
    this.#totalBytes = [...gguf.tensors.values()].reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  }

  /** An F16 or F32 tensor, copied as it is. */
  array(name: string, type: 'F16' | 'F32', shape: readonly number[]): Pointer {
    const tensor = this.#take(name, type, shape);
    const pointer = this.#memory.allocate(tensor.sizeBytes);
    this.#loads.push(() => this.#copy(tensor, pointer));
    return pointer;
  }

  /** An I2_S or TL1 tensor, repacked. The result's `scale` holds from when the plan has run. */
  ternary(name: string, rows: number, columns: number): TernaryMatrix {
    const tensor = this.#take(name, this.ternaryType, [rows, columns]);
    const { tl1Tiling, tl1Kernel } = this.#options;
    const layout = this.ternaryType === 'TL1' && tl1Kernel === 'lut' ? 'tl1-tiles' : 'row-pairs';
    let tiling: Tl1Tiling | undefined;
    if (this.ternaryType === 'TL1') {
      tiling = tl1TilingOf(tl1Tiling, rows, columns);
      if (tiling === undefined) this.#missingTilings.add(`${rows}x${columns}`);
    } else if (rows % 4 !== 0) {
      throw new EngineError('ENGINE_TENSOR_MISMATCH', `Tensor "${name}" has ${rows} rows; I2_S needs a multiple of 4.`);
    }
    const codes = this.#memory.allocate((rows * columns) / 4);
    const matrix: TernaryMatrix & { scale: number } = { layout, rows, columns, codes, scale: Number.NaN };
    this.#loads.push(async () => {
      await (tiling === undefined ? this.#repackI2s(tensor, matrix) : this.#repackTl1(tensor, matrix, tiling));
      matrix.scale = await this.#readScale(tensor, (rows * columns) / 4);
    });
    return matrix;
  }

  refuseUnused(): void {
    const unused = [...this.#gguf.tensors.keys()].filter((name) => !this.#used.has(name) && name !== IGNORED_TENSOR);
    if (unused.length > 0) {
      const names = unused
        .slice(0, 5)
        .map((name) => `"${name}"`)
        .join(', ');
      throw new EngineError(
        'ENGINE_UNUSED_TENSOR',
        `The file holds ${unused.length} tensor(s) that this model's graph does not use: ${names}. Running without them could give wrong output; is it a different kind of model?`,
      );
    }
    if (this.#gguf.tensors.has(IGNORED_TENSOR)) {
      this.#options.onWarning?.(
        `"${IGNORED_TENSOR}" is ignored: as in bitnet.cpp, the token embedding is the output head.`,
      );
    }
  }

  refuseMissingTilings(): void {
    if (this.#missingTilings.size > 0) throw missingTilings(this.#missingTilings);
  }

  async run(): Promise<void> {
    for (const load of this.#loads) await load();
  }

  #take(name: string, type: string, shape: readonly number[]): GgufTensor {
    const tensor = this.#gguf.tensors.get(name);
    if (tensor === undefined) {
      throw new EngineError(
        'ENGINE_MISSING_TENSOR',
        `Tensor "${name}" is missing. The file is incomplete; convert or download it again.`,
      );
    }
    if (tensor.type !== type || tensor.shape.join() !== shape.join()) {
      throw new EngineError(
        'ENGINE_TENSOR_MISMATCH',
        `Tensor "${name}" is ${tensor.type} [${tensor.shape.join(', ')}]; this model needs ${type} [${shape.join(', ')}].`,
      );
    }
    this.#used.add(name);
    return tensor;
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

  async #repackTl1(tensor: GgufTensor, matrix: TernaryMatrix, tiling: Tl1Tiling): Promise<void> {
    const { layout, rows, columns, codes } = matrix;
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
