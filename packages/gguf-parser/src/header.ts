import type { ByteOrder } from './byte-order.ts';
import { HeaderCursor } from './cursor.ts';
import type { GgufDialectName } from './dialects.ts';
import type { GgufLimits } from './limits.ts';
import type { GgufMetadata, GgufRange } from './metadata.ts';
import { MIN_METADATA_ENTRY_BYTES, readMetadata } from './metadata.ts';
import type { GgufSource } from './source.ts';
import type { TensorTable } from './tensor-infos.ts';
import { MIN_TENSOR_INFO_BYTES, readTensorTable } from './tensor-infos.ts';

/** All that the header of one file says, checked. */
export interface GgufHeader extends TensorTable {
  readonly version: 2 | 3;
  readonly byteOrder: ByteOrder;
  readonly alignment: number;
  readonly metadata: GgufMetadata;
  /** Where the tensor table is, the last part of the header. */
  readonly tableRange: GgufRange;
}

export const DEFAULT_ALIGNMENT = 32;

/**
 * @param modelMetadata - for the later files of a split model the metadata of its first, which speaks for the dialect
 */
export async function readHeader(
  source: GgufSource,
  limits: GgufLimits,
  dialect: GgufDialectName | undefined,
  signal: AbortSignal | undefined,
  modelMetadata?: GgufMetadata,
): Promise<GgufHeader> {
  const cursor = new HeaderCursor(source, limits, signal);
  const { version, tensorCount, metadataCount } = await cursor.attempt('the header', () => readPreamble(cursor));
  const metadata = await readMetadata(cursor, metadataCount);
  const alignment = readAlignment(cursor, metadata);
  const tableBytes = cursor.positionBytes;
  const table = await readTensorTable(cursor, tensorCount, alignment, modelMetadata ?? metadata, dialect);
  const tableRange = { offsetBytes: tableBytes, sizeBytes: cursor.positionBytes - tableBytes };
  return { ...table, version, byteOrder: cursor.littleEndian ? 'little' : 'big', alignment, metadata, tableRange };
}

/** "GGUF", u32 version, u64 tensor count, u64 metadata count. */
function readPreamble(cursor: HeaderCursor): { version: 2 | 3; tensorCount: number; metadataCount: number } {
  const magic = cursor.numbers(4, 1);
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
  cursor.littleEndian = true; // the preamble may be read twice
  const version = cursor.u32();
  if (version === 2 || version === 3) {
    return version;
  }
  const swapped = version / 2 ** 24;
  if (swapped === 3) {
    cursor.littleEndian = false;
    return 3;
  }
  const found = Number.isInteger(swapped) && version !== 0 ? `${swapped}, big-endian,` : version;
  const what = `GGUF version ${found} is not supported`;
  const advice = 'Versions 2 and 3 are, and 3 in both byte orders; convert the model again.';
  throw cursor.error('GGUF_UNSUPPORTED_VERSION', what, advice, start);
}

/** llama.cpp's rule: a u32 that is a power of two. */
function readAlignment(cursor: HeaderCursor, metadata: GgufMetadata): number {
  const type = metadata.typeOf('general.alignment');
  if (type === undefined) {
    return DEFAULT_ALIGNMENT;
  }
  const alignment = type === 'u32' ? metadata.get('general.alignment') : undefined;
  if (typeof alignment === 'number' && alignment !== 0 && Number.isInteger(Math.log2(alignment))) {
    return alignment;
  }
  cursor.reading = 'the value of "general.alignment"';
  const what = `The alignment is ${type} ${alignment ?? ''}`.trimEnd();
  throw cursor.error('GGUF_BAD_ALIGNMENT', what, 'It must be a u32 that is a power of two; convert the model again.');
}
