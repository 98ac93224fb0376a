import type { ByteOrder } from './byte-order.ts';
import { swapNumbers } from './byte-order.ts';
import { decoderOf } from './dequantize/decoder.ts';
import type { I2sLayout } from './dequantize/i2s.ts';
import type { Tl1Tiling } from './dequantize/tl1.ts';
import { GgufError, quoteName, refuseUnknownOptions } from './errors.ts';
import type { GgufSource } from './source.ts';
import { readExactly } from './source.ts';
import type { GgufTensor } from './tensor-infos.ts';
import { tensorTypeOf } from './tensor-types.ts';

export interface StreamOptions {
  /** Most bytes of the file to a chunk, in whole blocks, at least one. Default 1 MiB. */
  chunkBytes?: number;
  /** Rejects with `signal.reason`. Default: none. */
  signal?: AbortSignal | undefined;
}

export interface DequantizeOptions extends StreamOptions {
  /** For TL1, which cannot be read without. */
  tl1Tiling?: Tl1Tiling;
}

const DEFAULT_CHUNK_BYTES = 2 ** 20;

/** Where the data of tensors is and how it is to be read. */
export interface TensorStore {
  readonly source: GgufSource;
  readonly byteOrder: ByteOrder;
  readonly i2sLayout: I2sLayout;
}

/**
 * Some bytes of a tensor, in little-endian order whatever the file's.
 *
 * @param fromBytes - from the start of the tensor; it and `lengthBytes` are whole blocks, or the end
 * @throws GgufError GGUF_BIG_ENDIAN for a type of which it is not agreed what big-endian means
 */
export async function readRange(
  store: TensorStore,
  tensor: GgufTensor,
  fromBytes: number,
  lengthBytes: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (store.byteOrder === 'big') {
    requireSwappable(tensor);
  }
  const bytes = await readExactly(store.source, tensor.offsetBytes + fromBytes, lengthBytes, signal);
  return store.byteOrder === 'big' ? swapped(bytes, tensor) : bytes;
}

function requireSwappable({ name, type }: GgufTensor): void {
  const { blockElements, trailerBytes, halfOffsets } = tensorTypeOf(type);
  const plain = blockElements === 1 && trailerBytes === 0;
  if (!plain && halfOffsets === undefined) {
    const what = `Tensor ${quoteName(name)} is ${type} in a big-endian file`;
    const advice = 'It is not agreed what that means; convert the model again on a little-endian machine';
    throw new GgufError('GGUF_BIG_ENDIAN', `${what}. ${advice}, or take the bytes from the source.`);
  }
}

function swapped(bytes: Uint8Array, { type }: GgufTensor): Uint8Array {
  const { blockBytes, halfOffsets } = tensorTypeOf(type);
  const copy = Uint8Array.from(bytes);
  if (halfOffsets === undefined) {
    swapNumbers(copy, blockBytes);
    return copy;
  }
  for (let at = 0; at < copy.byteLength; at += blockBytes) {
    for (const offset of halfOffsets) {
      copy.subarray(at + offset, at + offset + 2).reverse();
    }
  }
  return copy;
}

/** The bytes of a tensor, trailer included, chunk by chunk; put together they are what `readTensor` gives. */
export async function* streamTensor(
  store: TensorStore,
  tensor: GgufTensor,
  options: StreamOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { chunkBytes = DEFAULT_CHUNK_BYTES, signal, ...unknown } = options;
  refuseUnknownOptions(unknown, 'chunkBytes, signal');
  const stepBytes = stepOf(chunkBytes, tensorTypeOf(tensor.type).blockBytes);
  for (let at = 0; at < tensor.sizeBytes; at += stepBytes) {
    yield await readRange(store, tensor, at, Math.min(stepBytes, tensor.sizeBytes - at), signal);
  }
}

/** The elements of a tensor as f32, chunk by chunk, in the file's order: row by row. Every chunk is a fresh array. */
export async function* streamFloats(
  store: TensorStore,
  tensor: GgufTensor,
  options: DequantizeOptions,
): AsyncGenerator<Float32Array<ArrayBuffer>, void, undefined> {
  const { chunkBytes = DEFAULT_CHUNK_BYTES, signal, tl1Tiling, ...unknown } = options;
  refuseUnknownOptions(unknown, 'chunkBytes, signal, tl1Tiling');
  const scale = await readScale(store, tensor, signal);
  const decoder = decoderOf(tensor, scale ?? Number.NaN, store.i2sLayout, tl1Tiling);
  const stepBytes = stepOf(chunkBytes, decoder.unitBytes);
  const payloadBytes = tensor.sizeBytes - tensorTypeOf(tensor.type).trailerBytes;
  for (let start = 0; start < payloadBytes; start += stepBytes) {
    const bytes = await readRange(store, tensor, start, Math.min(stepBytes, payloadBytes - start), signal);
    const floats = new Float32Array((bytes.byteLength / decoder.unitBytes) * decoder.unitElements);
    for (let at = 0, to = 0; at < bytes.byteLength; at += decoder.unitBytes, to += decoder.unitElements) {
      decoder.decodeUnit(bytes, at, floats, to);
    }
    yield floats;
  }
}

/** The one weight scale of an I2_S, TL1 or TL2 tensor; undefined for other types. */
export async function readScale(
  store: TensorStore,
  tensor: GgufTensor,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const { trailerBytes } = tensorTypeOf(tensor.type);
  if (trailerBytes === 0) {
    return undefined;
  }
  const trailer = await readRange(store, tensor, tensor.sizeBytes - trailerBytes, trailerBytes, signal);
  return new DataView(trailer.buffer, trailer.byteOffset).getFloat32(0, true);
}

function stepOf(chunkBytes: number, unitBytes: number): number {
  if (!(Number.isSafeInteger(chunkBytes) && chunkBytes >= 1)) {
    throw new RangeError(`chunkBytes is ${chunkBytes}; it must be an integer >= 1.`);
  }
  return Math.max(1, Math.floor(chunkBytes / unitBytes)) * unitBytes;
}
