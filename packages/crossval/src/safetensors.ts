import { CrossvalError } from './errors.ts';

/** Limit of the safetensors format itself (huggingface/safetensors, `MAX_HEADER_SIZE`). */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_DIMENSIONS = 8;
/** The data begins at a multiple of this, so that a Float32Array can view it. */
const ALIGNMENT_BYTES = 8;

export interface SafetensorsArray {
  readonly shape: readonly number[];
  /** A view into the file's bytes where these are aligned, else a copy. */
  readonly values: Float32Array;
}

function bad(what: string): CrossvalError {
  return new CrossvalError('CROSSVAL_BAD_SAFETENSORS', `Not a usable safetensors file: ${what}. Make it again.`);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * Reads a safetensors file whose arrays are all F32.
 *
 * Layout: u64 little-endian header length, JSON header `{name: {dtype, shape, data_offsets: [begin, end]}}`, data.
 * Every byte of the data must belong to exactly one array.
 */
export function readSafetensors(bytes: Uint8Array): ReadonlyMap<string, SafetensorsArray> {
  if (bytes.length < 8) throw bad(`${bytes.length} bytes, and the header length alone takes 8`);
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (headerBytes > BigInt(Math.min(MAX_HEADER_BYTES, bytes.length - 8))) {
    throw bad(`its header claims ${headerBytes} bytes, the file has ${bytes.length}`);
  }
  const dataStart = 8 + Number(headerBytes);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart)));
  } catch (cause) {
    throw new CrossvalError('CROSSVAL_BAD_SAFETENSORS', 'Not a usable safetensors file: its header is not JSON.', {
      cause,
    });
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw bad('its header is not an object');
  const data = bytes.subarray(dataStart);
  const arrays = new Map<string, SafetensorsArray>();
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]: [string, unknown]) => ({ name, ...readEntry(name, entry) }))
    .toSorted((a, b) => a.begin - b.begin);
  let expectedBegin = 0;
  for (const { name, shape, begin, end } of entries) {
    if (begin !== expectedBegin) throw bad(`array "${name}" begins at byte ${begin} of the data, not ${expectedBegin}`);
    if (end > data.length) throw bad(`array "${name}" ends at byte ${end} of ${data.length}`);
    expectedBegin = end;
    arrays.set(name, { shape, values: floatsOf(data.subarray(begin, end)) });
  }
  if (expectedBegin !== data.length) throw bad(`${data.length - expectedBegin} bytes at the end belong to no array`);
  return arrays;
}

function readEntry(name: string, entry: unknown): { shape: number[]; begin: number; end: number } {
  if (typeof entry !== 'object' || entry === null) throw bad(`array "${name}" has no description`);
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
  if (dtype !== 'F32') throw bad(`array "${name}" is ${JSON.stringify(dtype)}; only "F32" is supported`);
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isCount)) {
    throw bad(`array "${name}" has no shape of at most ${MAX_DIMENSIONS} sizes`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw bad(`array "${name}" has no data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  const byteLength = shape.reduce((product: number, size: number) => product * size, 4);
  if (end - begin !== byteLength) {
    throw bad(`array "${name}" of shape [${shape.join(', ')}] takes ${byteLength} bytes, not ${end - begin}`);
  }
  return { shape, begin, end };
}

function floatsOf(bytes: Uint8Array): Float32Array {
  if (bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  // Not slice(): Node's Buffer does not copy there.
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** Writes arrays as one safetensors file: the same bytes for the same arrays in the same order. */
export function writeSafetensors(
  arrays: Iterable<
    readonly [name: string, array: { readonly shape: readonly number[]; readonly values: Float32Array }]
  >,
): Uint8Array {
  const entries = [...arrays];
  let offset = 0;
  const descriptions = entries.map(([name, { shape, values }]) => {
    const begin = offset;
    offset += values.byteLength;
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype: 'F32', shape, data_offsets: [begin, offset] })}`;
  });
  // Spaces after the JSON are the format's own padding.
  const json = new TextEncoder().encode(`{${descriptions.join(',')}}`);
  const headerBytes = Math.ceil(json.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const file = new Uint8Array(8 + headerBytes + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, 8, 8 + headerBytes);
  file.set(json, 8);
  let position = 8 + headerBytes;
  for (const [, { values }] of entries) {
    file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), position);
    position += values.byteLength;
  }
  return file;
}
