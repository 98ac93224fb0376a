import {
  attentionScratchBytes,
  i2sScratchBytes,
  type Lanes,
  type Pointer,
  screenFineRowBytes,
  screenRowBytes,
  screenValuesBytes,
  type WasmKernels,
} from '@bittern/kernels';
import type { LimitName } from './report.ts';
import { Random } from './random.ts';
import type { ModelShape } from './synthetic-model.ts';

/** A kernel with its arguments. */
export interface KernelCall {
  readonly name: string;
  readonly detail: string;
  readonly limit?: LimitName;
  /** Read and written once. */
  readonly bytesPerCall: number;
  readonly operationsPerCall?: number;
  call(): void;
}

export interface KernelCallsOptions {
  /** Rows of the products of a prompt. */
  readonly tokens: number;
  /** Of the buffer that "stream" walks through, at least. */
  readonly streamBytes: number;
  readonly lanes: Lanes;
}

/** Cells of the cache that attention reads for one row. */
const ATTENTION_CELLS = 1024;
const HEAD_ROWS = 16; // that the engine gives the head at a time
const HOT_BYTES = 1 << 18; // fits every second-level cache

/** Every kernel that the engine calls, at the sizes of a model. Memory is allocated here, and never freed. */
export function kernelCalls(kernels: WasmKernels, shape: ModelShape, options: KernelCallsOptions): KernelCall[] {
  const { tokens, lanes } = options;
  const { memory } = kernels;
  const { embeddingLength: width, feedForwardLength: inner, headCount, headCountKv, vocabSize } = shape;
  const headDim = width / headCount;
  const kvLength = headDim * headCountKv;
  const widest = Math.max(width, inner, ATTENTION_CELLS);
  const cells = Math.ceil(Math.max(ATTENTION_CELLS, tokens) / 32) * 32;
  const rows = Math.max(tokens, HEAD_ROWS);

  // Weights of any kind: no kernel's time depends on codes, and as f16 all are finite and normal.
  const streamBytes = Math.max(options.streamBytes, (inner * width) / 4, 2 * rows * width);
  const weights = new Stream(memory.allocate(streamBytes), streamBytes);
  fillWithF16(memory.bytes(weights.pointer, streamBytes));
  const f32 = (count: number): Pointer => {
    const pointer = memory.allocate(4 * count);
    const random = new Random(`f32 ${count}`);
    memory.f32(pointer, count).forEach((_, index, array) => (array[index] = random.fraction() - 0.5));
    return pointer;
  };
  const x = f32(rows * widest);
  const y = f32(rows * widest);
  const out = memory.allocate(4 * Math.max(rows * widest, HEAD_ROWS * vocabSize));
  const norm = f32(widest);
  const values = memory.allocate(rows * widest);
  const scales = memory.allocate(4 * rows);
  const sums = memory.allocate(4 * rows);
  const keys = memory.allocate(2 * kvLength * cells);
  const valueCache = memory.allocate(2 * kvLength * cells);
  const cosines = f32((cells * headDim) / 2);
  const sines = f32((cells * headDim) / 2);
  kernels.reserveScratch(Math.max(16 * widest, i2sScratchBytes(widest), attentionScratchBytes(headDim, cells)));
  fillWithF16(memory.bytes(keys, 2 * kvLength * cells));
  fillWithF16(memory.bytes(valueCache, 2 * kvLength * cells));
  kernels.quantizeRows(x, 0, rows, widest, values, scales, sums);
  kernels.flush();

  const calls: KernelCall[] = [];
  for (const [m, k] of [
    [width, width],
    [kvLength, width],
    [inner, width],
    [width, inner],
  ] as const) {
    const matrixBytes = (m * k) / 4;
    const described = { bytesPerCall: matrixBytes + k + 4 * m, operationsPerCall: 2 * m * k };
    calls.push(
      {
        ...described,
        name: 'i2sGemv',
        detail: `${m}x${k} stream`,
        limit: 'read',
        call: () => kernels.i2sGemv(weights.next(matrixBytes), 0, m, k, 1, values, scales, sums, out, kernels.scratch),
      },
      {
        ...described,
        name: 'i2sGemv',
        detail: `${m}x${k} hot`,
        limit: 'int8',
        call: () => kernels.i2sGemv(weights.pointer, 0, m, k, 1, values, scales, sums, out, kernels.scratch),
      },
      {
        ...described,
        name: 'tl1Gemv',
        detail: `${m}x${k} stream`,
        limit: 'read',
        call: () => kernels.tl1Gemv(weights.next(matrixBytes), 0, m, k, 1, values, scales, out, kernels.scratch),
      },
      {
        ...described,
        name: 'tl1Gemv',
        detail: `${m}x${k} hot`,
        limit: 'int8',
        call: () => kernels.tl1Gemv(weights.pointer, 0, m, k, 1, values, scales, out, kernels.scratch),
      },
      {
        name: 'i2sGemm',
        detail: `${m}x${k} ${tokens} rows`,
        limit: 'int8',
        bytesPerCall: matrixBytes + tokens * (k + 4 * m),
        operationsPerCall: 2 * m * k * tokens,
        call: () => kernels.i2sGemm(weights.pointer, 0, m, k, 1, values, scales, sums, tokens, out, m, kernels.scratch),
      },
    );
  }

  const headRows = Math.min(vocabSize, Math.floor(streamBytes / (2 * width)));
  const hotRows = Math.min(headRows, Math.floor(HOT_BYTES / (2 * width)));
  for (const [m, where] of [
    [headRows, 'stream'],
    [hotRows, 'hot'],
  ] as const) {
    const headBytes = 2 * m * width;
    calls.push(
      {
        ...(where === 'stream' && { limit: 'read' as const }),
        name: 'f16Gemv',
        detail: `${m}x${width} ${where}`,
        bytesPerCall: headBytes + 4 * (width + m),
        operationsPerCall: 2 * m * width,
        call: () => kernels.f16Gemv(weights.pointer, 0, m, width, width, x, out, lanes, kernels.scratch),
      },
      {
        name: 'f16Gemm',
        detail: `${m}x${width} ${where} ${HEAD_ROWS} rows`,
        bytesPerCall: headBytes + 4 * HEAD_ROWS * (width + m),
        operationsPerCall: 2 * m * width * HEAD_ROWS,
        call: () =>
          kernels.f16Gemm(weights.pointer, 0, m, width, width, x, width, HEAD_ROWS, out, m, lanes, kernels.scratch),
      },
    );
  }

  // The screened head, whose first pass reads six bits of an int8 copy. Bounds go where nobody needs them.
  const rowBytes = screenRowBytes(width);
  const screenValues = memory.allocate(screenValuesBytes(width));
  const bounds = memory.allocate(4 * 8);
  const screenedRows = Math.floor(Math.min(vocabSize, streamBytes / rowBytes) / 4) * 4;
  const [rowScales, rowErrors, lower, upper] = [0, 0, 0, 0].map(() => memory.allocate(4 * screenedRows)) as [
    Pointer,
    Pointer,
    Pointer,
    Pointer,
  ];
  const heap = memory.allocate(4 * 40);
  const candidates = memory.allocate(4 * 41);
  // Bounds that are all different, so that as many are candidates as are chosen
  const ranked = memory.allocate(4 * screenedRows);
  memory.f32(ranked, screenedRows).set(Float32Array.from({ length: screenedRows }, (_, row) => (row * Math.SQRT2) % 1));
  kernels.selectLargest(ranked, screenedRows, 40, heap, candidates);
  kernels.roundToF16(x, width, x);
  kernels.quantizeForScreen(x, width, screenValues, bounds);
  kernels.flush();
  for (const [m, where] of [
    [screenedRows, 'stream'],
    [Math.floor(Math.min(screenedRows, HOT_BYTES / rowBytes) / 4) * 4, 'hot'],
  ] as const) {
    const { pointer } = weights;
    calls.push({
      ...(where === 'stream' && { limit: 'read' as const }),
      name: 'screenRows',
      detail: `${m}x${width} ${where}`,
      bytesPerCall: m * (rowBytes + 16) + screenValuesBytes(width),
      operationsPerCall: 2 * m * width,
      call: () =>
        kernels.screenRows(
          pointer,
          0,
          m,
          width,
          rowScales,
          rowErrors,
          screenValues,
          bounds,
          lower,
          upper,
          kernels.scratch,
        ),
    });
  }
  const products = memory.allocate(4);
  memory.f32(products, 1)[0] = -Infinity; // excludes no row
  calls.push(
    {
      name: 'refineRows',
      detail: `${screenedRows}x${width} stream`,
      limit: 'read',
      bytesPerCall: screenedRows * (screenFineRowBytes(width) + 24) + screenValuesBytes(width),
      operationsPerCall: 2 * screenedRows * width,
      call: () =>
        kernels.refineRows(
          weights.next(screenedRows * screenFineRowBytes(width)),
          screenedRows,
          width,
          rowScales,
          rowErrors,
          screenValues,
          bounds,
          products,
          1,
          lower,
          upper,
          0,
          1,
          kernels.scratch,
        ),
    },
    {
      name: 'quantizeForScreen',
      detail: `1x${width}`,
      bytesPerCall: 4 * width + screenValuesBytes(width),
      call: () => kernels.quantizeForScreen(x, width, screenValues, bounds),
    },
    {
      name: 'selectLargest',
      detail: `40 of ${screenedRows}`,
      bytesPerCall: 4 * screenedRows,
      call: () => kernels.selectLargest(ranked, screenedRows, 40, heap, candidates),
    },
    {
      name: 'selectCandidates',
      detail: `40 of ${screenedRows}`,
      bytesPerCall: 4 * screenedRows,
      call: () => kernels.selectCandidates(ranked, screenedRows, heap, 40, 40, candidates),
    },
  );

  for (const count of new Set([1, tokens])) {
    const position = count === 1 ? ATTENTION_CELLS - 1 : 0;
    const seen = Math.ceil((position + count) / 32) * 32;
    const scale = 1 / Math.sqrt(headDim);
    const args = [keys, valueCache, cells, seen, scale, lanes, out, 0, 0] as const;
    calls.push({
      name: 'attention',
      detail: `${count} rows, ${seen} cells`,
      bytesPerCall: 2 * 2 * kvLength * seen + 2 * 4 * count * width,
      operationsPerCall: 4 * count * width * (position + (count + 1) / 2),
      call: () =>
        kernels.attention(x, 0, headCount, headCount, headCountKv, headDim, count, position, ...args, kernels.scratch),
    });

    const vector = (name: string, length: number, bytesPerValue: number, call: () => void): void => {
      calls.push({ name, detail: `${count}x${length}`, bytesPerCall: count * length * bytesPerValue, call });
    };
    vector('quantizeRows', inner, 4 + 1, () => kernels.quantizeRows(x, 0, count, inner, values, scales, sums));
    vector('rmsNorm', width, 4 + 4, () => kernels.rmsNorm(x, norm, 0, count, width, 1e-5, out, 0));
    vector('ropeNeox', width, 4 + 4, () => kernels.ropeNeox(y, 0, count, headCount, headDim, 0, cosines, sines));
    vector('storeKeysValues', kvLength, 2 * (4 + 2), () =>
      kernels.storeKeysValues(x, y, count, headCountKv, headDim, 0, cells, keys, valueCache),
    );
    vector('add', width, 4 + 4 + 4, () => kernels.add(x, y, width * count, out));
    vector('reluSquaredGate', inner, 4 + 4 + 4, () => kernels.reluSquaredGate(x, y, inner * count, out, 0, 0));
    vector('siluGate', inner, 4 + 4 + 4, () => kernels.siluGate(x, y, inner * count, lanes, out, 0));
    vector('widenF16', width, 2 + 4, () => kernels.widenF16(weights.pointer, width * count, out));
    vector('roundToF16', width, 4 + 4, () => kernels.roundToF16(x, width * count, out));
  }
  return calls;
}

/** A buffer whose pieces are handed out one after the other, so that each has long left the caches when it comes again. */
class Stream {
  readonly pointer: Pointer;
  readonly #sizeBytes: number;
  #at = 0;

  constructor(pointer: Pointer, sizeBytes: number) {
    this.pointer = pointer;
    this.#sizeBytes = sizeBytes;
  }

  next(sizeBytes: number): Pointer {
    if (this.#at + sizeBytes > this.#sizeBytes) this.#at = 0;
    const piece = this.pointer + this.#at;
    this.#at += sizeBytes;
    return piece;
  }
}

/** f16 values from 2^-7 to 2 in magnitude, with either sign. */
function fillWithF16(bytes: Uint8Array): void {
  const table = Uint16Array.from(
    { length: 65_536 },
    (_, index) => (index & 0x83ff) | ((8 + ((index >>> 10) & 7)) << 10),
  );
  const values = new Uint16Array(Math.min(1 << 20, bytes.length) / 2);
  new Random('f16').draw(values, table);
  const block = new Uint8Array(values.buffer);
  for (let at = 0; at < bytes.length; at += block.length) {
    bytes.set(block.subarray(0, Math.min(block.length, bytes.length - at)), at);
  }
}
