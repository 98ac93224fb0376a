/** A kernel that may stand in a receipt. */
export interface KnownKernel {
  readonly id: string;
  readonly device: 'cpu' | 'gpu';
  /** Whether it computes with quantized weights as they are. */
  readonly quantized: boolean;
  /** The plain reference, on which no model runs. */
  readonly reference: boolean;
  /** Whether its elements are products that are summed: 2 operations each. */
  readonly products: boolean;
}

interface Operation {
  readonly variants: readonly string[];
  readonly quantized?: true;
  readonly products?: true;
}

const BOTH = ['relaxed', 'simd128'];
const ALL = [...BOTH, 'reference'];

/**
 * The verifier's own list of what `@bittern/kernels` registers: an id is `${operation}_${variant}`. A test of the command
 * line fails where they are not the same.
 */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  quantize_rows: { variants: ALL },
  quantize_rows_tl1: { variants: ALL },
  quantize_rows_q8_0: { variants: ALL },
  quantize_rows_q8_k: { variants: ALL },
  i2s_gemv: { variants: [...ALL, 'relaxed_wide', 'relaxed_i16', 'simd128_i16'], quantized: true, products: true },
  i2s_gemm: { variants: [...ALL, 'relaxed_wide', 'relaxed_i16', 'simd128_i16'], quantized: true, products: true },
  tl1_gemv: { variants: ['relaxed_swizzle', 'swizzle', 'reference'], quantized: true, products: true },
  f32_gemv: { variants: ALL, products: true },
  f32_gemm: { variants: ALL, products: true },
  f16_gemv: { variants: ALL, products: true },
  f16_gemm: { variants: ALL, products: true },
  bf16_gemm: { variants: ALL, products: true },
  q8_0_gemm: { variants: ALL, quantized: true, products: true },
  q4_0_gemm: { variants: ALL, quantized: true, products: true },
  q6_k_gemm: { variants: ALL, quantized: true, products: true },
  tq2_0_gemm: { variants: ALL, quantized: true, products: true },
  rms_norm: { variants: ALL },
  rope_neox: { variants: ALL },
  rope_norm: { variants: ALL },
  store_keys_values: { variants: ALL },
  store_keys_values_f32: { variants: ALL },
  attention: { variants: ALL, products: true },
  attention_f32: { variants: ALL, products: true },
  copy_f32: { variants: ALL },
  widen_f16: { variants: ALL },
  widen_bf16: { variants: ALL },
  widen_q8_0: { variants: ALL },
  widen_q4_0: { variants: ALL },
  widen_q6_k: { variants: ALL },
  widen_tq2_0: { variants: ALL },
  round_to_f16: { variants: ALL },
  round_to_bf16: { variants: ALL },
  add: { variants: ALL },
  add_to_rows: { variants: ALL },
  multiply_by: { variants: ALL },
  relu_squared_gate: { variants: ALL },
  silu_gate: { variants: ALL },
  f16_head_packed: { variants: ALL },
  f16_head_quantized: { variants: ALL },
  f16_head_screened: { variants: ALL, products: true },
  f16_head_largest: { variants: ALL },
  f16_head_refined: { variants: ALL, products: true },
  f16_head_selected: { variants: ALL },
  f16_head_rescored: { variants: ALL, products: true },
  f16_head_fallback: { variants: ALL, products: true },
  pack_row_pairs: { variants: ALL },
  tl1_to_row_pairs: { variants: ALL },
  tl1_to_tiles: { variants: ALL },
  tq1_0_to_tq2_0: { variants: ALL },
  rope_table: { variants: ALL },
  find_non_finite_f16: { variants: ALL },
  find_non_finite_bf16: { variants: ALL },
  find_non_finite_f32: { variants: ALL },
  find_non_finite_scale: { variants: ALL },
  exponential: { variants: ALL },
  multiply_add: { variants: ALL },
};

export const KNOWN_KERNELS: readonly KnownKernel[] = Object.entries(OPERATIONS).flatMap(
  ([operation, { variants, quantized = false, products = false }]) =>
    variants.map((variant) => ({
      id: `${operation}_${variant}`,
      device: 'cpu' as const,
      quantized,
      reference: variant === 'reference',
      products,
    })),
);

const byId: ReadonlyMap<string, KnownKernel> = new Map(KNOWN_KERNELS.map((kernel) => [kernel.id, kernel]));

export function knownKernel(id: string): KnownKernel | undefined {
  return byId.get(id);
}
