/** In the order of the ids in the file, 0 to 12. */
export const VALUE_TYPES = [
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

export type FileValueType = (typeof VALUE_TYPES)[number];

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

/** They have the machine's byte order, which is little-endian wherever WebAssembly or a current browser runs. */
export const NUMERIC_ARRAYS: {
  readonly u8: Uint8ArrayConstructor;
  readonly i8: Int8ArrayConstructor;
  readonly u16: Uint16ArrayConstructor;
  readonly i16: Int16ArrayConstructor;
  readonly u32: Uint32ArrayConstructor;
  readonly i32: Int32ArrayConstructor;
  readonly f32: Float32ArrayConstructor;
  readonly u64: BigUint64ArrayConstructor;
  readonly i64: BigInt64ArrayConstructor;
  readonly f64: Float64ArrayConstructor;
} = {
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
};

export type NumericType = keyof typeof NUMERIC_ARRAYS;
