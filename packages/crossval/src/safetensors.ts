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

/** Where an array lies in a safetensors file. */
export interface SafetensorsEntry {
  readonly shape: readonly number[];
  /** Absolute, in bytes; `end` is behind the last byte. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a safetensors file whose arrays are all F32.
 *
 * Layout: u64 little-endian header length, JSON header `{name: {dtype, shape, data_offsets: [begin, end]}}`, data.
 * Every byte of the data must belong to exactly one array.
 */
export function readSafetensors(bytes: Uint8Array): ReadonlyMap<string, SafetensorsArray> {
  const headerBytes = safetensorsHeaderBytes(bytes.subarray(0, 8), bytes.length);
  const entries = readSafetensorsHeader(bytes.subarray(0, headerBytes), bytes.length);
  return new Map(
    Array.from(entries, ([name, { shape, begin, end }]) => [
      name,
      { shape, values: floatsOf(bytes.subarray(begin, end)) },
    ]),
  );
}

/**
 * @param start - the first 8 bytes of the file
 * @returns where the data begins
 */
export function safetensorsHeaderBytes(start: Uint8Array, fileBytes: number): number {
  if (start.length < 8) throw bad(`${start.length} bytes, and the header length alone takes 8`);
  const headerBytes = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (headerBytes > BigInt(Math.min(MAX_HEADER_BYTES, fileBytes - 8))) {
    throw bad(`its header claims ${headerBytes} bytes, the file has ${fileBytes}`);
  }
  return 8 + Number(headerBytes);
}

/** @param start - the file up to where the data begins ({@link safetensorsHeaderBytes}) */
export function readSafetensorsHeader(start: Uint8Array, fileBytes: number): ReadonlyMap<string, SafetensorsEntry> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(start.subarray(8)));
  } catch (cause) {
    throw new CrossvalError('CROSSVAL_BAD_SAFETENSORS', 'Not a usable safetensors file: its header is not JSON.', {
      cause,
    });
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw bad('its header is not an object');
  const dataBytes = fileBytes - start.length;
  const arrays = new Map<string, SafetensorsEntry>();
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]: [string, unknown]) => ({ name, ...readEntry(name, entry) }))
    .toSorted((a, b) => a.begin - b.begin);
  let expectedBegin = 0;
  for (const { name, shape, begin, end } of entries) {
    if (begin !== expectedBegin) throw bad(`array "${name}" begins at byte ${begin} of the data, not ${expectedBegin}`);
    if (end > dataBytes) throw bad(`array "${name}" ends at byte ${end} of ${dataBytes}`);
    expectedBegin = end;
    arrays.set(name, { shape, begin: start.length + begin, end: start.length + end });
  }
  if (expectedBegin !== dataBytes) throw bad(`${dataBytes - expectedBegin} bytes at the end belong to no array`);
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

/** A view where the bytes are aligned, else a copy. */
export function floatsOf(bytes: Uint8Array): Float32Array {
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
  const header = writeSafetensorsHeader(entries.map(([name, { shape }]) => [name, shape]));
  const file = new Uint8Array(entries.reduce((sum, [, { values }]) => sum + values.byteLength, header.length));
  file.set(header);
  let position = header.length;
  for (const [, { values }] of entries) {
    file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), position);
    position += values.byteLength;
  }
  return file;
}

/** What stands before the f32 data of these arrays in this order. */
export function writeSafetensorsHeader(
  arrays: Iterable<readonly [name: string, shape: readonly number[]]>,
): Uint8Array {
  let offset = 0;
  const descriptions = Array.from(arrays, ([name, shape]) => {
    const begin = offset;
    offset += shape.reduce((product, size) => product * size, 4);
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype: 'F32', shape, data_offsets: [begin, offset] })}`;
  });
  // Spaces after the JSON are the format's own padding.
  const json = new TextEncoder().encode(`{${descriptions.join(',')}}`);
  const headerBytes = Math.ceil(json.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const header = new Uint8Array(8 + headerBytes);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerBytes), true);
  header.fill(0x20, 8);
  header.set(json, 8);
  return header;
}
