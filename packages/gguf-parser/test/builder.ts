/** Builds GGUF files, bad ones too: nothing is checked, and every part can be replaced by raw bytes. Test only. */

/** Ids of the value types in the file. */
export const VALUE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

export const TENSOR = { F32: 0, F16: 1, Q8_0: 8, TQ2_0: 35, I2_S: 36, TL1: 38 } as const;

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

function scalar(length: number, write: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
}

export const u8 = (value: number): Uint8Array => scalar(1, (view) => view.setUint8(0, value));
export const i8 = (value: number): Uint8Array => scalar(1, (view) => view.setInt8(0, value));
export const u16 = (value: number): Uint8Array => scalar(2, (view) => view.setUint16(0, value, true));
export const i16 = (value: number): Uint8Array => scalar(2, (view) => view.setInt16(0, value, true));
export const u32 = (value: number): Uint8Array => scalar(4, (view) => view.setUint32(0, value, true));
export const i32 = (value: number): Uint8Array => scalar(4, (view) => view.setInt32(0, value, true));
export const f32 = (value: number): Uint8Array => scalar(4, (view) => view.setFloat32(0, value, true));
export const f64 = (value: number): Uint8Array => scalar(8, (view) => view.setFloat64(0, value, true));
export const u64 = (value: number | bigint): Uint8Array =>
  scalar(8, (view) => view.setBigUint64(0, BigInt(value), true));
export const i64 = (value: number | bigint): Uint8Array =>
  scalar(8, (view) => view.setBigInt64(0, BigInt(value), true));

/** A length and bytes; the length may lie. */
export function string(text: string | Uint8Array, length?: number | bigint): Uint8Array {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  return concat(u64(length ?? bytes.byteLength), bytes);
}

/** An array's value: element type, length, elements; the length may lie. */
export function array(elementType: number, elements: readonly Uint8Array[], length?: number | bigint): Uint8Array {
  return concat(u32(elementType), u64(length ?? elements.length), ...elements);
}

export function entry(key: string | Uint8Array, type: number, value: Uint8Array): Uint8Array {
  return concat(string(key), u32(type), value);
}

export interface TensorParts {
  name?: string | Uint8Array;
  dims?: readonly (number | bigint)[];
  type?: number;
  offset?: number | bigint;
}

export function tensor({ name = 't', dims = [8], type = TENSOR.F32, offset = 0 }: TensorParts = {}): Uint8Array {
  return concat(string(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset));
}

export interface FileParts {
  magic?: string;
  version?: Uint8Array;
  metadata?: readonly Uint8Array[];
  tensors?: readonly Uint8Array[];
  /** Promised in the header; by default what is there. */
  metadataCount?: number | bigint;
  tensorCount?: number | bigint;
  /** Of the data section. Nothing is padded after the data. */
  alignment?: number;
  data?: Uint8Array;
}

export function file(parts: FileParts = {}): Uint8Array<ArrayBuffer> {
  const { magic = 'GGUF', version = u32(3), metadata = [], tensors = [], alignment = 32 } = parts;
  const header = concat(
    new TextEncoder().encode(magic),
    version,
    u64(parts.tensorCount ?? tensors.length),
    u64(parts.metadataCount ?? metadata.length),
    ...metadata,
    ...tensors,
  );
  if (parts.data === undefined) {
    return header;
  }
  const padding = Math.ceil(header.byteLength / alignment) * alignment - header.byteLength;
  return concat(header, new Uint8Array(padding), parts.data);
}

/** Bytes 1, 2, 3, …: data that shows where it came from. */
export function ramp(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index + 1) % 256);
}

/** A small valid file with something of everything; it ends with its last tensor, so no byte can be missed. */
export function smallFile(): Uint8Array<ArrayBuffer> {
  return file({
    metadata: [
      entry('general.architecture', VALUE.string, string('bitnet-b1.58')),
      entry('flag', VALUE.bool, u8(1)),
      entry('epsilon', VALUE.f32, f32(1e-5)),
      entry('counts', VALUE.array, array(VALUE.u32, [u32(3), u32(4)])),
      entry('tokens', VALUE.array, array(VALUE.string, [string('a'), string('\uFEFF'), string('▁é')])),
      entry('nested', VALUE.array, array(VALUE.array, [array(VALUE.u8, [u8(1)]), array(VALUE.bool, [u8(0)])])),
    ],
    tensors: [
      tensor({ name: 'norm', dims: [4], offset: 0 }),
      tensor({ name: 'weights', dims: [128, 2], type: TENSOR.I2_S, offset: 32 }),
    ],
    data: ramp(32 + 128 * 2 * 0.25 + 32),
  });
}

/** Array.fromAsync, which TypeScript's es2024 library does not have yet. */
export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) {
    list.push(value);
  }
  return list;
}
