import { HeaderCursor } from './cursor.ts';
import { quoteName } from './errors.ts';
import type { GgufLimits } from './limits.ts';
import { resolveLimits } from './limits.ts';
import type { GgufMetadata } from './metadata.ts';
import { MIN_METADATA_ENTRY_BYTES, readMetadata } from './metadata.ts';
import type { GgufSource } from './source.ts';
import { readExactly, sourceFromBytes } from './source.ts';
import type { GgufTensor } from './tensor-infos.ts';
import { MIN_TENSOR_INFO_BYTES, readTensorInfos } from './tensor-infos.ts';

export interface GgufFile {
  readonly source: GgufSource;
  readonly version: 2 | 3;
  /** `general.alignment`, or 32. */
  readonly alignment: number;
  readonly metadata: GgufMetadata;
  /** By name, in the file's order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Where the data section starts. In a file without tensors it may lie past the end. */
  readonly dataOffsetBytes: number;
  /**
   * The bytes of a tensor, trailer included, as they are in the file. From a source over bytes they are a view
   * (do not write into it); from a file they are fresh.
   *
   * @throws RangeError if there is no tensor of that name
   */
  readTensor(name: string, options?: { signal?: AbortSignal }): Promise<Uint8Array>;
}

export interface OpenGgufOptions {
  /** Rejects with `signal.reason`. Default: none. */
  signal?: AbortSignal;
  /** Over `defaultLimits`. */
  limits?: Partial<GgufLimits>;
}

const DEFAULT_ALIGNMENT = 32;

/**
 * Reads and checks the header of a GGUF file, version 2 or 3, little-endian. Tensor data is read only by `readTensor`.
 * Layout: "GGUF", u32 version, u64 tensor count, u64 metadata count, metadata, tensor table, padding, tensor data.
 *
 * The file is valid or this throws: every length fits the source, names differ, tensors lie inside and apart.
 * The source stays open; whoever opened it closes it.
 *
 * @throws GgufError if the file cannot be used; its `code` says why
 */
export async function openGguf(
  source: GgufSource | Uint8Array | ArrayBuffer,
  options: OpenGgufOptions = {},
): Promise<GgufFile> {
  const { signal, limits, ...unknown } = options;
  if (Object.keys(unknown).length > 0) {
    throw new TypeError(`Unknown option ${quoteName(Object.keys(unknown)[0]!)}. Known: signal, limits.`);
  }
  const opened = 'read' in source ? source : sourceFromBytes(source);
  if (!(Number.isSafeInteger(opened.sizeBytes) && opened.sizeBytes >= 0)) {
    throw new TypeError(`sizeBytes of the source is ${opened.sizeBytes}; it must be an integer >= 0.`);
  }
  const cursor = new HeaderCursor(opened, resolveLimits(limits), signal);
  const { version, tensorCount, metadataCount } = await cursor.attempt('the header', () => readPreamble(cursor));
  const metadata = await readMetadata(cursor, metadataCount);
  const alignment = readAlignment(cursor, metadata);
  const { tensors, dataOffsetBytes } = await readTensorInfos(cursor, tensorCount, alignment);
  return {
    source: opened,
    version,
    alignment,
    metadata,
    tensors,
    dataOffsetBytes,
    async readTensor(name, { signal: readSignal } = {}) {
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        throw new RangeError(`${opened.name} has no tensor ${quoteName(name)} among its ${tensors.size}.`);
      }
      return readExactly(opened, tensor.offsetBytes, tensor.sizeBytes, readSignal);
    },
  };
}

function readPreamble(cursor: HeaderCursor): { version: 2 | 3; tensorCount: number; metadataCount: number } {
  const magic = cursor.copyBytes(4);
  if (String.fromCharCode(...magic) !== 'GGUF') {
    const found = Array.from(magic, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const what = `Not a GGUF file: it starts with the bytes ${found}, not 47 47 55 46 ("GGUF")`;
    throw cursor.error('GGUF_BAD_MAGIC', what, 'Give a .gguf file, and check that the download is complete.', 0);
  }
  const version = readVersion(cursor);
  const tensorCount = cursor.count();
  const metadataCount = cursor.count();
  cursor.requireBytes(metadataCount, MIN_METADATA_ENTRY_BYTES);
  cursor.requireBytes(tensorCount, MIN_TENSOR_INFO_BYTES);
  cursor.requireLimit('metadataEntries', metadataCount);
  cursor.requireLimit('tensors', tensorCount);
  return { version, tensorCount, metadataCount };
}

/** Versions 2 and 3 are the same but that 3 may be big-endian; version 1 had lengths of 32 bits. */
function readVersion(cursor: HeaderCursor): 2 | 3 {
  const start = cursor.positionBytes;
  const version = cursor.u32();
  if (version === 2 || version === 3) {
    return version;
  }
  if (version !== 0 && version % 2 ** 16 === 0) {
    const advice = 'Convert the model again on, or for, a little-endian machine.';
    throw cursor.error('GGUF_BIG_ENDIAN', 'The file is big-endian', advice, start);
  }
  const what = `GGUF version ${version} is not supported`;
  throw cursor.error('GGUF_UNSUPPORTED_VERSION', what, 'Convert the model again; converters write version 3.', start);
}

/** llama.cpp's rule: a u32 that is a power of two. */
function readAlignment(cursor: HeaderCursor, metadata: GgufMetadata): number {
  const alignment = metadata.get('general.alignment');
  if (alignment === undefined) {
    return DEFAULT_ALIGNMENT;
  }
  const type = metadata.typeOf('general.alignment');
  if (type === 'u32' && typeof alignment === 'number' && alignment !== 0 && Number.isInteger(Math.log2(alignment))) {
    return alignment;
  }
  cursor.reading = 'the value of "general.alignment"';
  const what = `The alignment is ${type} ${String(alignment).slice(0, 40)}`;
  throw cursor.error('GGUF_BAD_ALIGNMENT', what, 'It must be a u32 that is a power of two; convert the model again.');
}
