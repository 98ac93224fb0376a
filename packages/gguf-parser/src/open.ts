import type { ByteOrder } from './byte-order.ts';
import type { I2sLayout } from './dequantize/i2s.ts';
import { defaultI2sLayout, requireI2sLayout } from './dequantize/i2s.ts';
import type { GgufDialect, GgufDialectName } from './dialects.ts';
import { requireDialectName } from './dialects.ts';
import { GgufError, quoteName, refuseUnknownOptions } from './errors.ts';
import type { GgufHeader } from './header.ts';
import { readHeader } from './header.ts';
import type { GgufLimits } from './limits.ts';
import { resolveLimits } from './limits.ts';
import type { GgufMetadata, GgufRange } from './metadata.ts';
import { mergeHeaders, refuseLoneShard } from './shards.ts';
import type { GgufSource } from './source.ts';
import { sourceFromBlob, sourceFromBytes } from './source.ts';
import { joinSources } from './split.ts';
import type { DequantizeOptions, StreamOptions } from './tensor-data.ts';
import { readRange, readScale, streamFloats, streamTensor } from './tensor-data.ts';
import type { GgufTensor } from './tensor-infos.ts';

export interface GgufFile {
  /** For a split model all its files, joined. */
  readonly source: GgufSource;
  readonly version: 2 | 3;
  /** Of the file. What `readTensor`, `streamTensor` and `dequantize` give is little-endian; what `source` gives is not changed. */
  readonly byteOrder: ByteOrder;
  /** What the numbers of tensor types mean here, and why. */
  readonly dialect: GgufDialect;
  /** How I2_S weights are taken to be packed: the option, or 128x32. The file does not say. */
  readonly i2sLayout: I2sLayout;
  /** `general.alignment`, or 32. */
  readonly alignment: number;
  /** For a split model that of its first file. */
  readonly metadata: GgufMetadata;
  /** By name, in the file's order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Where the tensor table is in the source, the last part of the header. */
  readonly tableRange: GgufRange;
  /** Where the data section starts. In a file without tensors it may lie past the end. */
  readonly dataOffsetBytes: number;
  /**
   * The bytes of a tensor, trailer included. From a source over bytes they are a view (do not write into it); from a
   * file they are fresh.
   *
   * @throws RangeError if there is no tensor of that name
   */
  readTensor(name: string, options?: { signal?: AbortSignal | undefined }): Promise<Uint8Array>;
  /** The same bytes in chunks of whole blocks. */
  streamTensor(name: string, options?: StreamOptions): AsyncGenerator<Uint8Array, void, undefined>;
  /**
   * The elements as f32, row by row.
   *
   * @throws GgufError GGUF_CANNOT_DEQUANTIZE for a type without a rule here
   */
  dequantize(name: string, options?: DequantizeOptions): Promise<Float32Array<ArrayBuffer>>;
  /** The same in chunks; `chunkBytes` counts bytes of the file. */
  streamFloats(name: string, options?: DequantizeOptions): AsyncGenerator<Float32Array<ArrayBuffer>, void, undefined>;
  /** The one weight scale of an I2_S, TL1 or TL2 tensor; undefined for other types. */
  readScale(name: string, options?: { signal?: AbortSignal | undefined }): Promise<number | undefined>;
}

export interface OpenGgufOptions {
  /** Rejects with `signal.reason`. Default: none. */
  signal?: AbortSignal | undefined;
  /** Over `defaultLimits`. */
  limits?: Partial<GgufLimits>;
  /** What the numbers of tensor types mean. Default: decided from the file. */
  dialect?: GgufDialectName;
  /** Default 128x32, which all released files have. */
  i2sLayout?: I2sLayout;
}

export type GgufInput = GgufSource | Uint8Array | ArrayBuffer | Blob;

/**
 * Reads and checks the header of a GGUF file, version 2 or 3. Tensor data is read only by the methods of the result.
 * Several inputs are the files of a split model, in order.
 *
 * The file is valid or this throws: every length fits the source, names differ, tensors lie inside and apart. Only that
 * strings are UTF-8 is checked later, when their text is asked for.
 *
 * The source stays open; whoever opened it closes it.
 *
 * @throws GgufError if the file cannot be used; its `code` says why
 */
export async function openGguf(
  input: GgufInput | readonly GgufInput[],
  options: OpenGgufOptions = {},
): Promise<GgufFile> {
  const { signal, limits, dialect, i2sLayout = defaultI2sLayout, ...unknown } = options;
  refuseUnknownOptions(unknown, 'signal, limits, dialect, i2sLayout');
  requireI2sLayout(i2sLayout);
  if (dialect !== undefined) {
    requireDialectName(dialect);
  }
  const source = sourceOf(input);
  const header = await readHeaders(source, resolveLimits(limits), dialect, signal);
  return fileOf(source, header, i2sLayout);
}

function sourceOf(input: GgufInput | readonly GgufInput[]): GgufSource {
  if (isList(input)) {
    return joinSources(input.map((part) => sourceOf(part)));
  }
  if ('read' in input) {
    return input;
  }
  return input instanceof Blob ? sourceFromBlob(input) : sourceFromBytes(input);
}

/** Array.isArray does not narrow a readonly array. */
function isList(input: GgufInput | readonly GgufInput[]): input is readonly GgufInput[] {
  return Array.isArray(input);
}

async function readHeaders(
  source: GgufSource,
  limits: GgufLimits,
  dialect: GgufDialectName | undefined,
  signal: AbortSignal | undefined,
): Promise<GgufHeader> {
  const parts = source.parts ?? [source];
  if (!(parts.length <= limits.splitFiles)) {
    const what = `The model has ${parts.length} files and limits.splitFiles is ${limits.splitFiles}`;
    throw new GgufError('GGUF_LIMIT_EXCEEDED', `${what}. If you trust it, raise that.`, { limit: 'splitFiles' });
  }
  const headers: GgufHeader[] = [];
  for (const part of parts) {
    if (!(Number.isSafeInteger(part.sizeBytes) && part.sizeBytes >= 0)) {
      throw new TypeError(`sizeBytes of the source is ${part.sizeBytes}; it must be an integer >= 0.`);
    }
    headers.push(await readHeader(part, limits, dialect, signal, headers[0]?.metadata));
  }
  const [first] = headers;
  if (first === undefined) {
    throw new TypeError('No sources given; a model has at least one file.');
  }
  if (headers.length > 1) {
    return mergeHeaders(parts, headers);
  }
  refuseLoneShard(source, first.metadata);
  return first;
}

function fileOf(source: GgufSource, header: GgufHeader, i2sLayout: I2sLayout): GgufFile {
  const store = { source, byteOrder: header.byteOrder, i2sLayout };

  function find(name: string): GgufTensor {
    const tensor = header.tensors.get(name);
    if (tensor === undefined) {
      throw new RangeError(`${source.name} has no tensor ${quoteName(name)} among its ${header.tensors.size}.`);
    }
    return tensor;
  }

  return {
    ...header,
    source,
    i2sLayout,
    async readTensor(name, { signal } = {}) {
      const tensor = find(name);
      return readRange(store, tensor, 0, tensor.sizeBytes, signal);
    },
    streamTensor: (name, options = {}) => streamTensor(store, find(name), options),
    async dequantize(name, options = {}) {
      const tensor = find(name);
      const floats = new Float32Array(tensor.elementCount);
      let at = 0;
      for await (const chunk of streamFloats(store, tensor, options)) {
        floats.set(chunk, at);
        at += chunk.length;
      }
      return floats;
    },
    streamFloats: (name, options = {}) => streamFloats(store, find(name), options),
    readScale: async (name, { signal } = {}) => readScale(store, find(name), signal),
  };
}
