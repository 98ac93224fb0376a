/** How a scalar lies in memory. Enums are i32; every pointer and callback is `pointer`. */
export type AbiScalar =
  | 'bool'
  | 'i8'
  | 'u8'
  | 'i16'
  | 'u16'
  | 'i32'
  | 'u32'
  | 'i64'
  | 'u64'
  | 'f32'
  | 'f64'
  | 'pointer';

export interface AbiField {
  readonly offsetBytes: number;
  readonly type: AbiScalar;
  /** Elements of an array field, all dimensions multiplied; absent for a scalar. */
  readonly count?: number;
}

export interface AbiStruct {
  /** With the padding at the end. */
  readonly sizeBytes: number;
  /** In order of offset. */
  readonly fields: Readonly<Record<string, AbiField>>;
}

/** The structs that the bridge reads or writes itself. */
export const ABI_STRUCTS = ['llama_model_params', 'llama_context_params', 'llama_batch', 'ggml_tensor'] as const;
export type AbiStructName = (typeof ABI_STRUCTS)[number];

/** Struct layouts of one release of a library on one platform. */
export type AbiLayouts = Readonly<Record<AbiStructName, AbiStruct>>;
