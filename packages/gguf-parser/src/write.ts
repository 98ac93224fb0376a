import type { GgufDialectName } from './dialects.ts';
import { requireDialectName, typeIdOf } from './dialects.ts';
import type { GgufWritable } from './encode.ts';
import { HeaderEncoder } from './encode.ts';
import { quoteName, refuseUnknownOptions } from './errors.ts';
import { DEFAULT_ALIGNMENT } from './header.ts';
import type { GgmlTypeName } from './tensor-types.ts';
import { tensorSizeBytes, tensorTypeOf } from './tensor-types.ts';
import type { GgufValueType } from './value-types.ts';

/** Key, type, value. A string may be bytes. */
export type GgufEntry = readonly [key: string, type: GgufValueType, value: GgufWritable];

export interface GgufTensorData {
  readonly name: string;
  readonly type: GgmlTypeName;
  /** Outermost first. */
  readonly shape: readonly number[];
  /** As in the file, trailer included, in one piece or in chunks; read once, when its turn comes. */
  readonly data: Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface WriteGgufOptions {
  /** In this order. `general.alignment` among them sets the alignment; default 32. */
  metadata: Iterable<GgufEntry>;
  /** In this order. */
  tensors?: Iterable<GgufTensorData>;
  /** Whose type numbers are written. Default: the first of ggml, bitnet.cpp, bitnet.cpp-2026 that has all types. */
  dialect?: GgufDialectName;
}

/**
 * Writes a GGUF file, version 3, little-endian: `await writeFile(path, writeGguf({ … }))`.
 * Every tensor is padded to the alignment, the last one too, as llama.cpp does it.
 *
 * @throws TypeError or RangeError for what a file cannot hold, and for data of another size than type and shape say;
 *   what was written until then is no valid file
 */
export async function* writeGguf(options: WriteGgufOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { metadata, tensors = [], dialect, ...unknown } = options;
  refuseUnknownOptions(unknown, 'metadata, tensors, dialect');
  const entries = [...metadata];
  const list = [...tensors];
  const alignment = alignmentOf(entries);
  const sizes = list.map((tensor) => sizeOf(tensor));
  const encoder = new HeaderEncoder();
  encodePreamble(encoder, 3, list.length, entries.length);
  refuseDuplicates(entries.map(([key]) => key));
  for (const [key, type, value] of entries) {
    encoder.entry(key, type, value);
  }
  encodeTable(encoder, list, sizes, alignment, dialect ?? dialectFor(list));
  if (list.length > 0) {
    encoder.raw(paddingAfter(encoder.bytes.byteLength, alignment));
  }
  yield encoder.bytes;
  for (const [index, tensor] of list.entries()) {
    yield* exactly(tensor, sizes[index]!);
    yield paddingAfter(sizes[index]!, alignment);
  }
}

export function encodePreamble(encoder: HeaderEncoder, version: number, tensors: number, entries: number): void {
  encoder.raw(new TextEncoder().encode('GGUF'));
  encoder.u32(version);
  encoder.u64(tensors);
  encoder.u64(entries);
}

export function paddingAfter(lengthBytes: number, alignment: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Math.ceil(lengthBytes / alignment) * alignment - lengthBytes);
}

function alignmentOf(entries: readonly GgufEntry[]): number {
  const [, type, alignment] = entries.find(([key]) => key === 'general.alignment') ?? ['', 'u32', DEFAULT_ALIGNMENT];
  if (type === 'u32' && typeof alignment === 'number' && alignment >= 1 && Number.isInteger(Math.log2(alignment))) {
    return alignment;
  }
  throw new RangeError(`general.alignment is ${type} ${String(alignment)}; it must be a u32 that is a power of two.`);
}

function sizeOf({ name, type, shape }: GgufTensorData): number {
  const sizeBytes = tensorSizeBytes(type, shape.toReversed());
  const valid =
    shape.length >= 1 &&
    shape.length <= 4 &&
    shape.every((dim) => Number.isSafeInteger(dim) && dim >= 1) &&
    shape.at(-1)! % tensorTypeOf(type).blockElements === 0 &&
    Number.isSafeInteger(sizeBytes);
  if (!valid) {
    throw new RangeError(`Tensor ${quoteName(name)} cannot be ${type} of shape [${shape.join(', ')}].`);
  }
  return sizeBytes;
}

function dialectFor(tensors: readonly GgufTensorData[]): GgufDialectName {
  const types = tensors.map(({ type }) => type);
  if (types.includes('TL2')) {
    throw new TypeError("TL2 has two numbers; give dialect: 'bitnet.cpp' (39) or 'bitnet.cpp-2026' (42).");
  }
  if (!types.some((type) => type === 'I2_S' || type === 'I8_S' || type === 'TL1')) {
    return 'ggml';
  }
  const newer = types.some((type) => type === 'MXFP4' || type === 'NVFP4' || type === 'Q1_0');
  return newer ? 'bitnet.cpp-2026' : 'bitnet.cpp';
}

function encodeTable(
  encoder: HeaderEncoder,
  tensors: readonly GgufTensorData[],
  sizes: readonly number[],
  alignment: number,
  dialect: GgufDialectName,
): void {
  requireDialectName(dialect);
  refuseDuplicates(tensors.map(({ name }) => name));
  let offsetBytes = 0;
  for (const [index, { name, type, shape }] of tensors.entries()) {
    if (name === '') {
      throw new TypeError('A tensor has no name.');
    }
    encoder.string(name);
    encoder.u32(shape.length);
    for (const dim of shape.toReversed()) {
      encoder.u64(dim);
    }
    encoder.u32(typeIdOf(dialect, type));
    encoder.u64(offsetBytes);
    offsetBytes += sizes[index]! + paddingAfter(sizes[index]!, alignment).byteLength;
  }
}

function refuseDuplicates(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) {
      throw new TypeError(`${quoteName(name)} is given twice.`);
    }
    seen.add(name);
  }
}

async function* exactly(
  { name, data }: GgufTensorData,
  sizeBytes: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let written = 0;
  for await (const chunk of data instanceof Uint8Array ? [data] : data) {
    written += chunk.byteLength;
    if (written > sizeBytes) {
      break;
    }
    yield Uint8Array.from(chunk);
  }
  if (written !== sizeBytes) {
    const found = written > sizeBytes ? 'more' : written;
    throw new RangeError(
      `The data of tensor ${quoteName(name)} has ${found} bytes; its type and shape say ${sizeBytes}.`,
    );
  }
}
