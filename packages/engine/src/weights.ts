import type { GgufFile, GgufTensor } from '@bittern/gguf-parser';
import type { I2sLayout, KernelMemory, Pointer, WasmKernels } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { EngineError } from './errors.ts';
import { isMatrixType, layoutOf, type MatrixLayout, type MatrixType, rowBytesOf } from './matrix-types.ts';
import { type HeadKind, packScreen, type ScreenWeights } from './screened-head.ts';
import {
  globalNeeds,
  headNeed,
  layerNeeds,
  type LinearNeeds,
  type TensorNeed,
  ternaryTypeOf,
  type TernaryType,
} from './tensor-needs.ts';
import { type Tl1Kernel, tl1ShapeOf, type Tl1Tilings } from './tl1.ts';

/** A matrix [rows, columns] in the kernels' memory. */
export interface Matrix {
  readonly layout: MatrixLayout;
  readonly rows: number;
  readonly columns: number;
  readonly data: Pointer;
  /** Of ternary layouts, the one scale of all codes; 1 otherwise. */
  readonly scale: number;
}

/** Products with `matrix`, times `scale`, plus `bias`. */
export interface Linear {
  readonly matrix: Matrix;
  /** Undefined where the file has none. */
  readonly scale: number | undefined;
  readonly bias: Pointer | undefined; // [rows]
}

/** Pointers into the kernels' memory; norms are f32 vectors. */
interface LayerWeights {
  readonly attnNorm: Pointer; // [embeddingLength]
  readonly attnQ: Linear; // [headCount * headDim, embeddingLength]
  readonly attnK: Linear; // [headCountKv * headDim, embeddingLength]
  readonly attnV: Linear; // [headCountKv * headDim, embeddingLength]
  readonly attnSubNorm: Pointer | undefined; // [embeddingLength]
  readonly attnOutput: Linear; // [embeddingLength, headCount * headDim]
  readonly ffnNorm: Pointer; // [embeddingLength]
  readonly ffnGate: Linear; // [feedForwardLength, embeddingLength]
  readonly ffnUp: Linear; // [feedForwardLength, embeddingLength]
  readonly ffnSubNorm: Pointer | undefined; // [feedForwardLength]
  readonly ffnDown: Linear; // [embeddingLength, feedForwardLength]
}

/** An array of weights in the kernels' memory, for {@link modelDigest}. */
interface WeightArray {
  /** Of the tensor. */
  readonly name: string;
  readonly pointer: Pointer;
  readonly sizeBytes: number;
  /** Undefined for vectors. */
  readonly matrix: Matrix | undefined;
}

export interface Weights {
  /** All that the file has, in the order of the graph. */
  readonly arrays: readonly WeightArray[];
  /** Of all layers, in their order. */
  readonly linears: readonly Linear[];
  readonly ternaryType: TernaryType;
  /** Of all matrices. */
  readonly layouts: ReadonlySet<MatrixLayout>;
  readonly tokenEmbd: Matrix; // [vocabSize, embeddingLength]
  readonly layers: readonly LayerWeights[];
  readonly outputNorm: Pointer; // [embeddingLength]
  readonly output: Matrix; // [vocabSize, embeddingLength]: the head; `tokenEmbd` where they are tied
  readonly ropeFreqs: Pointer | undefined; // f32 [headDim / 2], by which RoPE's angles are divided
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
  const needs = globalNeeds(config);
  const tokenEmbd = plan.matrix(needs.tokenEmbd);
  const head = headNeed(config, gguf);
  const output = head.name === needs.tokenEmbd.name ? tokenEmbd : plan.matrix(head);
  const ropeFreqs = plan.has(needs.ropeFreqs) ? plan.divisors(needs.ropeFreqs) : undefined;
  const layers = Array.from({ length: config.blockCount }, (_, layer) => {
    const layerNeed = layerNeeds(config, ternaryType, layer);
    return {
      attnNorm: plan.array(layerNeed.attnNorm),
      attnQ: plan.linear(layerNeed.attnQ),
      attnK: plan.linear(layerNeed.attnK),
      attnV: plan.linear(layerNeed.attnV),
      attnSubNorm: layerNeed.attnSubNorm && plan.array(layerNeed.attnSubNorm),
      attnOutput: plan.linear(layerNeed.attnOutput),
      ffnNorm: plan.array(layerNeed.ffnNorm),
      ffnGate: plan.linear(layerNeed.ffnGate),
      ffnUp: plan.linear(layerNeed.ffnUp),
      ffnSubNorm: layerNeed.ffnSubNorm && plan.array(layerNeed.ffnSubNorm),
      ffnDown: plan.linear(layerNeed.ffnDown),
    };
  });
  const outputNorm = plan.array(needs.outputNorm);

  await plan.run();
  const screen = options.head === 'screened' ? packScreen(config, output, kernels) : undefined;
  const { arrays, linears, layouts } = plan;
  return { arrays, linears, ternaryType, layouts, tokenEmbd, layers, outputNorm, output, ropeFreqs, screen };
}

/** The loads of one file: first all given their place, then all run. */
class LoadPlan {
  readonly arrays: WeightArray[] = [];
  readonly linears: Linear[] = [];
  readonly #gguf: GgufFile;
  readonly #kernels: WasmKernels;
  readonly #memory: KernelMemory;
  readonly #options: LoadWeightsOptions;
  readonly #loads: (() => Promise<void>)[] = [];
  /** Of the matrices so far. */
  readonly layouts: Set<MatrixLayout> = new Set();
  readonly #totalBytes: number;
  #loadedBytes = 0;

  constructor(gguf: GgufFile, kernels: WasmKernels, options: LoadWeightsOptions) {
    this.#gguf = gguf;
    this.#kernels = kernels;
    this.#memory = kernels.memory;
    this.#options = options;
    this.#totalBytes = [...gguf.tensors.values()].reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  }

  /** Whether there is a tensor that is not always needed. */
  has(need: TensorNeed | undefined): need is TensorNeed {
    return need !== undefined && this.#gguf.tensors.has(need.name);
  }

  /** An F32 vector, copied as it is. */
  array(need: TensorNeed): Pointer {
    const tensor = this.#gguf.tensors.get(need.name)!;
    const pointer = this.#memory.allocate(tensor.sizeBytes);
    this.arrays.push({ name: need.name, pointer, sizeBytes: tensor.sizeBytes, matrix: undefined });
    this.#loads.push(() => this.#copy(tensor, pointer));
    return pointer;
  }

  /** An F32 vector by which to divide. */
  divisors(need: TensorNeed): Pointer {
    const pointer = this.array(need);
    const { name, elementCount } = this.#gguf.tensors.get(need.name)!;
    this.#loads.push(async () => {
      const bad = this.#memory.f32(pointer, elementCount).find((value) => !(Number.isFinite(value) && value !== 0));
      if (bad !== undefined) throw invalid(`Tensor "${name}" divides by ${bad}. The file is damaged.`);
    });
    return pointer;
  }

  linear({ weight, scale, bias }: LinearNeeds): Linear {
    const linear: Linear & { scale: number | undefined } = {
      matrix: this.matrix(weight),
      scale: undefined,
      bias: this.has(bias) ? this.array(bias) : undefined,
    };
    this.linears.push(linear);
    if (this.has(scale)) {
      const tensor = this.#gguf.tensors.get(scale.name)!;
      this.#loads.push(async () => {
        linear.scale = await this.#readScale(tensor, 0);
      });
    }
    return linear;
  }

  /** A matrix of any type, repacked where its layout is not the file's. A ternary `scale` holds from when the plan has run. */
  matrix(need: TensorNeed): Matrix {
    const tensor = this.#gguf.tensors.get(need.name)!;
    const { type } = tensor;
    if (!isMatrixType(type)) throw new TypeError(`${need.name}: ${type} was let through by checkModel`);
    const [rows, columns] = need.shape as [number, number];
    const layout = layoutOf(type, this.#options.tl1Kernel);
    this.layouts.add(layout);
    const sizeBytes = rows * rowBytesOf(layout, columns);
    const data = this.#memory.allocate(sizeBytes);
    const isTernary = type === 'I2_S' || type === 'TL1';
    const matrix: Matrix & { scale: number } = { layout, rows, columns, data, scale: isTernary ? Number.NaN : 1 };
    this.arrays.push({ name: need.name, pointer: data, sizeBytes, matrix });
    this.#loads.push(async () => {
      if (type === 'TQ1_0') await this.#repackTq1(tensor, matrix);
      else if (type === 'TL1') await this.#repackTl1(tensor, matrix);
      else if (type === 'I2_S') await this.#repackI2s(tensor, matrix);
      else await this.#copy(tensor, data);
      if (isTernary) matrix.scale = await this.#readScale(tensor, (rows * columns) / 4);
      else this.#refuseNonFinite(tensor, type, matrix);
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
  }

  #refuseNonFinite({ name }: GgufTensor, type: MatrixType, { layout, rows, columns, data }: Matrix): void {
    const kernels = this.#kernels;
    const find = (): number => {
      const rowBytes = rowBytesOf(layout, columns);
      const scales = (blockBytes: number, scaleAt: number): number =>
        kernels.findNonFiniteScale(data + scaleAt, (rows * rowBytes) / blockBytes, blockBytes);
      switch (layout) {
        case 'F32':
          return kernels.findNonFiniteF32(data, rows * columns) / columns;
        case 'F16':
          return kernels.findNonFiniteF16(data, rows * columns) / columns;
        case 'BF16':
          return kernels.findNonFiniteBf16(data, rows * columns) / columns;
        case 'Q8_0':
          return scales(34, 0) / (columns / 32);
        case 'Q4_0':
          return scales(18, 0) / (columns / 32);
        case 'Q6_K':
          return scales(210, 208) / (columns / 256);
        case 'TQ2_0':
          return scales(66, 64) / (columns / 256);
        default:
          throw new TypeError(`${name}: ${layout} has no scales`);
      }
    };
    const row = find();
    if (row >= 0) {
      const what = type.startsWith('F') || type === 'BF16' ? 'NaN or infinity' : 'a scale that is NaN or infinite';
      throw invalid(`Tensor "${name}" holds ${what} in row ${Math.floor(row)}. The file is damaged.`);
    }
  }

  async #repackTq1(tensor: GgufTensor, { rows, columns, data }: Matrix): Promise<void> {
    const [fileRowBytes, rowBytes] = [(columns / 256) * 54, rowBytesOf('TQ2_0', columns)];
    await this.#repack(tensor, rows, fileRowBytes, 1, (packed, count, row) => {
      this.#kernels.tq1_0ToTq2_0(packed, count * columns, data + row * rowBytes);
    });
  }

  async #repackI2s(tensor: GgufTensor, { rows, columns, data }: Matrix): Promise<void> {
    const layout = this.#options.i2sLayout === '128x32' ? 128 : 64;
    await this.#repack(tensor, rows, columns / 4, 2, (packed, count, row) => {
      const bad = this.#kernels.packRowPairs(packed, count, columns, layout, data + (row * columns) / 4);
      if (bad < 0) return;
      throw invalid(
        `Tensor "${tensor.name}" holds the code 3 in row ${row + bad}; I2_S has only 0, 1 and 2. The file is damaged or not I2_S.`,
      );
    });
  }

  async #repackTl1(tensor: GgufTensor, { layout, rows, columns, data }: Matrix): Promise<void> {
    const tiling = this.#options.tl1Tiling[tl1ShapeOf(rows, columns)]!;
    const repack = layout === 'tl1-tiles' ? this.#kernels.tl1ToTiles : this.#kernels.tl1ToRowPairs;
    await this.#repack(tensor, rows, columns / 4, tiling[0], (packed, count, row) => {
      const bad = repack(packed, count, columns, ...tiling, data + (row * columns) / 4);
      if (bad < 0) return;
      throw invalid(
        `Tensor "${tensor.name}" holds a pair code above 8 in row ${row + bad}, which TL1 does not have. The file is damaged or not TL1.`,
      );
    });
  }

  /**
   * Reads a matrix in pieces.
   *
   * @param rowBytes - of a row in the file
   * @param unit - pieces are of a multiple of this many rows, which divides `rows`
   * @param repack - called for each piece with where it is, how many rows it has and its first row
   */
  async #repack(
    tensor: GgufTensor,
    rows: number,
    rowBytes: number,
    unit: number,
    repack: (packed: Pointer, count: number, row: number) => void,
  ): Promise<void> {
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

  /**
   * The f32 at `offsetBytes`. A ternary tensor's one scale stands behind its codes, in the first 4 of 32 bytes (numerics,
   * section 1.2).
   */
  async #readScale(tensor: GgufTensor, offsetBytes: number): Promise<number> {
    const trailer = await this.#read(tensor, offsetBytes, tensor.sizeBytes - offsetBytes);
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
