import { quoteName } from './errors.ts';
import type { FileValueType, GgufArray, GgufValue, GgufValueType, NumericType } from './value-types.ts';
import { NUMERIC_ARRAYS, VALUE_TYPES } from './value-types.ts';

/** What a metadata value can be written from: what `get` gives, and bytes for a string that is not UTF-8. */
export type GgufWritable = GgufValue | readonly number[] | readonly bigint[] | readonly Uint8Array[];

const utf8 = new TextEncoder();

/** Grows as it is written to. Numbers have the file's byte order; all values are checked, none is rounded or wrapped. */
export class HeaderEncoder {
  readonly #littleEndian: boolean;
  #bytes = new Uint8Array(1024);
  #length = 0;

  constructor(littleEndian = true) {
    this.#littleEndian = littleEndian;
  }

  /** What has been written, as a view. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  u32(value: number): void {
    this.number('u32', value);
  }

  u64(value: number): void {
    this.number('u64', value);
  }

  /** A length and bytes; a text as UTF-8. */
  string(text: string | Uint8Array): void {
    if (typeof text === 'string' && !text.isWellFormed()) {
      throw new TypeError(`The text ${quoteName(text)} has half a surrogate pair, which UTF-8 cannot hold.`);
    }
    const bytes = typeof text === 'string' ? utf8.encode(text) : text;
    this.u64(bytes.byteLength);
    this.raw(bytes);
  }

  /** A key, its type and its value. */
  entry(key: string, type: GgufValueType, value: GgufWritable | Uint8Array): void {
    if (key === '') {
      throw new TypeError('A metadata key is empty.');
    }
    const elementType = /^array<(.+)>$/.exec(type)?.[1] as FileValueType | undefined;
    this.string(key);
    try {
      this.#typeId(elementType === undefined ? (type as FileValueType) : 'array');
      if (elementType === undefined) {
        this.#scalar(type as FileValueType, value);
      } else {
        this.#array(elementType, value);
      }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new TypeError(`${quoteName(key)} cannot be written as ${type}: ${reason}`, { cause });
    }
  }

  number(type: NumericType, value: unknown): void {
    const array = NUMERIC_ARRAYS[type];
    const width = array.BYTES_PER_ELEMENT;
    const at = this.#grow(width);
    const view = new DataView(this.#bytes.buffer);
    if (type === 'f32' || type === 'f64') {
      if (typeof value !== 'number') {
        throw new TypeError(`${String(value)} is not a number`);
      }
      view[type === 'f32' ? 'setFloat32' : 'setFloat64'](at, value, this.#littleEndian);
      return;
    }
    const integer = requireInteger(type, value, width);
    for (let index = 0; index < width; index++) {
      const byte = Number((integer >> BigInt(8 * index)) & 0xffn);
      view.setUint8(at + (this.#littleEndian ? index : width - 1 - index), byte);
    }
  }

  #typeId(type: FileValueType): void {
    const id = VALUE_TYPES.indexOf(type);
    if (id === -1) {
      throw new TypeError(`there is no type ${String(type)}`);
    }
    this.u32(id);
  }

  #scalar(type: FileValueType, value: unknown): void {
    if (type === 'string') {
      if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
        throw new TypeError('it is neither text nor bytes');
      }
      this.string(value);
    } else if (type === 'bool') {
      if (typeof value !== 'boolean') {
        throw new TypeError(`${String(value)} is not a boolean`);
      }
      this.number('u8', value ? 1 : 0);
    } else if (type === 'array') {
      const elements = value as GgufArray;
      this.#array(elementTypeOf(elements), elements);
    } else {
      this.number(type, value);
    }
  }

  #array(elementType: FileValueType, value: unknown): void {
    if (!isArray(value)) {
      throw new TypeError('it is not an array');
    }
    this.#typeId(elementType);
    this.u64(value.length);
    for (const element of value) {
      this.#scalar(elementType, element);
    }
  }

  /** Makes room and says where it starts. */
  #grow(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.byteLength) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }
}

function isArray(value: unknown): value is ArrayLike<unknown> & Iterable<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function requireInteger(type: NumericType, value: unknown, width: number): bigint {
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) {
    throw new TypeError(`${String(value)} is not an exact integer`);
  }
  const integer = BigInt(value as number | bigint);
  const bits = width * 8;
  const wrapped = type.startsWith('u') ? BigInt.asUintN(bits, integer) : BigInt.asIntN(bits, integer);
  if (wrapped !== integer) {
    throw new RangeError(`${integer} is outside the range of ${type}`);
  }
  return integer;
}

/** What an array inside an array holds, from its class or its first element. */
function elementTypeOf(elements: GgufArray): FileValueType {
  for (const [type, NumericArray] of Object.entries(NUMERIC_ARRAYS)) {
    if (elements instanceof NumericArray) {
      return type as NumericType;
    }
  }
  const [first] = elements as unknown[];
  switch (typeof first) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    default:
      if (isArray(first)) {
        return 'array';
      }
      throw new TypeError('an array in an array must be a typed array, or not empty and of text, booleans or arrays');
  }
}
