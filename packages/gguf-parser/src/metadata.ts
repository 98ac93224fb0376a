import type { HeaderCursor } from './cursor.ts';
import { quoteName } from './errors.ts';

/** In the order of the ids in the file, 0 to 12. */
const VALUE_TYPES = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const;

type FileValueType = (typeof VALUE_TYPES)[number];

/** Type of a value as the file has it. The arrays in an `array<array>` say by themselves what they hold. */
export type GgufValueType = Exclude<FileValueType, 'array'> | `array<${FileValueType}>`;

export type GgufNumericArray =
  | Uint8Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

/** Arrays of numbers are typed arrays of the file's type: u64 gives BigUint64Array whatever the values. */
export type GgufArray = GgufNumericArray | boolean[] | string[] | GgufArray[];

/** A u64 or i64 is a number where that is exact (up to 2^53 - 1), else a bigint. */
export type GgufValue = number | bigint | boolean | string | GgufArray;

/** They have the machine's byte order, so the machine must be little-endian, as the file is. */
const NUMERIC_ARRAYS = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
} as const;

/** The file's key-value pairs, in the file's order. */
export interface GgufMetadata {
  readonly size: number;
  has(key: string): boolean;
  get(key: string): GgufValue | undefined;
  typeOf(key: string): GgufValueType | undefined;
  keys(): Iterable<string>;
}

/** Fewest bytes an entry takes: a key's length, one byte of key, the type, one byte of value. */
export const MIN_METADATA_ENTRY_BYTES: number = 8 + 1 + 4 + 1;

interface Entry {
  readonly key: string;
  readonly type: GgufValueType;
  readonly value: GgufValue;
}

/** @throws GgufError for anything that is not `count` well-formed entries with different keys */
export async function readMetadata(cursor: HeaderCursor, count: number): Promise<GgufMetadata> {
  // A Map, so that a key "__proto__" is a key like any other.
  const entries = new Map<string, Entry>();
  const arrays = { count: 0 };
  for (let index = 0; index < count; index++) {
    const arraysBefore = arrays.count;
    const entry = await cursor.attempt(`metadata entry ${index}`, () => {
      arrays.count = arraysBefore;
      return readEntry(cursor, arrays, entries);
    });
    entries.set(entry.key, entry);
  }
  return {
    size: entries.size,
    has: (key) => entries.has(key),
    get: (key) => entries.get(key)?.value,
    typeOf: (key) => entries.get(key)?.type,
    keys: () => entries.keys(),
  };
}

function readEntry(cursor: HeaderCursor, arrays: { count: number }, known: ReadonlyMap<string, Entry>): Entry {
  const start = cursor.positionBytes;
  const key = cursor.string('keyBytes');
  if (key === '') {
    throw cursor.error('GGUF_EMPTY_NAME', 'A key is empty', 'The file is damaged; convert the model again.', start);
  }
  if (known.has(key)) {
    const advice = 'Which one counts is undefined; remove one of the two.';
    throw cursor.error('GGUF_DUPLICATE_KEY', `The key ${quoteName(key)} is there twice`, advice, start);
  }
  cursor.reading = `the value of ${quoteName(key)}`;
  const type = readType(cursor);
  if (type !== 'array') {
    return { key, type, value: readScalar(cursor, type) };
  }
  const { elementType, value } = readArray(cursor, arrays, 1);
  return { key, type: `array<${elementType}>`, value };
}

function readType(cursor: HeaderCursor): FileValueType {
  const start = cursor.positionBytes;
  const id = cursor.u32();
  const type = VALUE_TYPES[id];
  if (type === undefined) {
    const known = VALUE_TYPES.map((name, knownId) => `${knownId} ${name}`).join(', ');
    throw cursor.error('GGUF_UNKNOWN_VALUE_TYPE', `Unknown value type ${id}`, `Known: ${known}.`, start);
  }
  return type;
}

function readScalar(cursor: HeaderCursor, type: Exclude<FileValueType, 'array'>): GgufValue {
  switch (type) {
    case 'bool':
      return readBoolean(cursor);
    case 'string':
      return cursor.string('stringBytes');
    case 'u64':
    case 'i64': {
      const exact = cursor[type]();
      const number = Number(exact);
      return Number.isSafeInteger(number) ? number : exact;
    }
    default:
      return cursor[type]();
  }
}

function readBoolean(cursor: HeaderCursor): boolean {
  const start = cursor.positionBytes;
  const byte = cursor.u8();
  if (byte > 1) {
    const advice = 'Only 0 and 1 are booleans; the file is damaged.';
    throw cursor.error('GGUF_BAD_BOOLEAN', `A boolean is ${byte}`, advice, start);
  }
  return byte === 1;
}

function readArray(
  cursor: HeaderCursor,
  arrays: { count: number },
  depth: number,
): { elementType: FileValueType; value: GgufArray } {
  cursor.requireLimit('arrays', ++arrays.count);
  cursor.requireLimit('arrayDepth', depth);
  const elementType = readType(cursor);
  const length = cursor.count();
  switch (elementType) {
    case 'array':
      requireLength(cursor, length, 4 + 8);
      return { elementType, value: collect(length, () => readArray(cursor, arrays, depth + 1).value) };
    case 'string':
      requireLength(cursor, length, 8);
      return { elementType, value: collect(length, () => cursor.string('stringBytes')) };
    case 'bool':
      requireLength(cursor, length, 1);
      return { elementType, value: collect(length, () => readBoolean(cursor)) };
    default: {
      const NumericArray = NUMERIC_ARRAYS[elementType];
      requireLength(cursor, length, NumericArray.BYTES_PER_ELEMENT);
      const bytes = cursor.copyBytes(length * NumericArray.BYTES_PER_ELEMENT);
      return { elementType, value: new NumericArray(bytes.buffer) };
    }
  }
}

function requireLength(cursor: HeaderCursor, length: number, minElementBytes: number): void {
  cursor.requireBytes(length, minElementBytes);
  cursor.requireLimit('arrayLength', length);
}

/** Not `Array.from({ length })`: that would allocate for elements that may turn out not to be there. */
function collect<T>(length: number, read: () => T): T[] {
  const elements: T[] = [];
  for (let index = 0; index < length; index++) {
    elements.push(read());
  }
  return elements;
}
