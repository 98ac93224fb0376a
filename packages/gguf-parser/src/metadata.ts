import type { HeaderCursor } from './cursor.ts';
import { quoteName } from './errors.ts';
import type { StringTable } from './string-table.ts';
import type { FileValueType, GgufArray, GgufValue, GgufValueType } from './value-types.ts';
import { NUMERIC_ARRAYS, VALUE_TYPES } from './value-types.ts';

/** The file's key-value pairs, in the file's order. */
export interface GgufMetadata {
  readonly size: number;
  has(key: string): boolean;
  /**
   * Text is decoded when it is first asked for; the same value comes back each time, so do not change it.
   *
   * @throws GgufError GGUF_BAD_UTF8 for a string that is not UTF-8; `stringBytes` reads it
   */
  get(key: string): GgufValue | undefined;
  typeOf(key: string): GgufValueType | undefined;
  keys(): Iterable<string>;
  /**
   * The bytes of a string (one element) or of each string of an `array<string>`, as the file has them: views, do not
   * write into them. Undefined for other types.
   */
  stringBytes(key: string): Uint8Array[] | undefined;
  /** Where the whole entry is in the source: key, type and value. */
  rangeOf(key: string): GgufRange | undefined;
}

export interface GgufRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Fewest bytes an entry takes: a key's length, one byte of key, the type, one byte of value. */
export const MIN_METADATA_ENTRY_BYTES: number = 8 + 1 + 4 + 1;

interface Entry extends GgufRange {
  readonly key: string;
  readonly type: GgufValueType;
  readonly value: ReadValue;
}

/** A value that was read; `get` makes what a caller sees of it. */
interface ReadValue {
  readonly get: () => GgufValue;
  readonly strings?: StringTable;
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
  return metadataOf(entries);
}

function metadataOf(entries: ReadonlyMap<string, Entry>): GgufMetadata {
  const values = new Map<string, GgufValue>();
  return {
    size: entries.size,
    has: (key) => entries.has(key),
    get(key) {
      const entry = entries.get(key);
      if (entry !== undefined && !values.has(key)) {
        values.set(key, entry.value.get());
      }
      return values.get(key);
    },
    typeOf: (key) => entries.get(key)?.type,
    keys: () => entries.keys(),
    stringBytes(key) {
      const strings = entries.get(key)?.value.strings;
      return strings && [...strings];
    },
    rangeOf(key) {
      const entry = entries.get(key);
      return entry && { offsetBytes: entry.offsetBytes, sizeBytes: entry.sizeBytes };
    },
  };
}

function readEntry(cursor: HeaderCursor, arrays: { count: number }, known: ReadonlyMap<string, Entry>): Entry {
  const offsetBytes = cursor.positionBytes;
  const key = cursor.name('keyBytes');
  if (key === '') {
    const advice = 'The file is damaged; convert the model again.';
    throw cursor.error('GGUF_EMPTY_NAME', 'A key is empty', advice, offsetBytes);
  }
  if (known.has(key)) {
    const advice = 'Which one counts is undefined; remove one of the two.';
    throw cursor.error('GGUF_DUPLICATE_KEY', `The key ${quoteName(key)} is there twice`, advice, offsetBytes);
  }
  cursor.reading = `the value of ${quoteName(key)}`;
  const fileType = readType(cursor);
  const { type, value } =
    fileType === 'array' ? readArray(cursor, arrays, 1) : { type: fileType, value: readScalar(cursor, fileType) };
  return { key, type, value, offsetBytes, sizeBytes: cursor.positionBytes - offsetBytes };
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

function readScalar(cursor: HeaderCursor, type: Exclude<FileValueType, 'array'>): ReadValue {
  switch (type) {
    case 'string': {
      const strings = cursor.strings(1);
      return { get: () => strings.texts()[0]!, strings };
    }
    case 'bool':
      return constant(readBoolean(cursor));
    case 'u64':
    case 'i64': {
      const exact = cursor[type]();
      const number = Number(exact);
      return constant(Number.isSafeInteger(number) ? number : exact);
    }
    default:
      return constant(cursor[type]());
  }
}

function constant(value: GgufValue): ReadValue {
  return { get: () => value };
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
): { type: `array<${FileValueType}>`; value: ReadValue } {
  cursor.requireLimit('arrays', ++arrays.count);
  cursor.requireLimit('arrayDepth', depth);
  const elementType = readType(cursor);
  const length = cursor.count();
  return { type: `array<${elementType}>`, value: readElements(cursor, arrays, depth, elementType, length) };
}

function readElements(
  cursor: HeaderCursor,
  arrays: { count: number },
  depth: number,
  elementType: FileValueType,
  length: number,
): ReadValue {
  switch (elementType) {
    case 'array': {
      requireLength(cursor, length, 4 + 8);
      const elements = collect(length, () => readArray(cursor, arrays, depth + 1).value);
      return { get: () => elements.map((element) => element.get() as GgufArray) };
    }
    case 'string': {
      requireLength(cursor, length, 8);
      const strings = cursor.strings(length);
      return { get: () => strings.texts(), strings };
    }
    case 'bool':
      requireLength(cursor, length, 1);
      return constant(collect(length, () => readBoolean(cursor)));
    default: {
      const NumericArray = NUMERIC_ARRAYS[elementType];
      requireLength(cursor, length, NumericArray.BYTES_PER_ELEMENT);
      return constant(new NumericArray(cursor.numbers(length, NumericArray.BYTES_PER_ELEMENT).buffer));
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
