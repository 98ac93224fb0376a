import { type KernelWeightType, type Operation, OPERATIONS, type OperationName } from './operations.ts';

/** A kernel that can run: an operation in one of its forms. */
export interface KernelInfo {
  /** `${operation}_${variant}`, such as `i2s_gemv_relaxed_wide`. Unique; receipts name kernels by it. */
  readonly id: string;
  readonly operation: OperationName;
  readonly weightType: KernelWeightType;
  /**
   * `relaxed` and `simd128` are the binary that it is in; a suffix, or another name, is a form of its own. `reference` is
   * the plain TypeScript.
   */
  readonly variant: string;
  readonly device: 'cpu';
  /** Whether it computes with quantized weights as they are, without making floats of them first. */
  readonly quantized: boolean;
  /** Whether it is the plain TypeScript reference: slow, for tests; no model runs on it. */
  readonly reference: boolean;
  readonly description: string;
}

/** The binaries; each has a kernel of most operations. */
export type Binary = 'relaxed' | 'simd128';

/** Products; repacking at load reads quantized weights, but computes nothing with them. */
const QUANTIZED: ReadonlySet<OperationName> = new Set([
  'i2sGemv',
  'i2sGemm',
  'i2sGemvWide',
  'i2sGemmWide',
  'i2sGemvI16',
  'i2sGemmI16',
  'tl1Gemv',
  'q8_0Gemm',
  'q4_0Gemm',
  'q6KGemm',
  'tq2_0Gemm',
]);

const entries = Object.entries(OPERATIONS) as [OperationName, Operation][];

/** Every kernel of this version, by operation. */
export const KERNEL_REGISTRY: readonly KernelInfo[] = entries.flatMap(([operation, described]) => {
  const { weightType, description, hasReference = true } = described;
  const info = (variant: string, reference: boolean): KernelInfo => ({
    id: `${described.id}_${variant}`,
    operation,
    weightType,
    variant,
    device: 'cpu',
    quantized: QUANTIZED.has(operation),
    reference,
    description,
  });
  const binaries = (['relaxed', 'simd128'] as const).filter((binary) => (described.only ?? binary) === binary);
  return [
    ...binaries.map((binary) => info(variantOf(described, binary), false)),
    ...(hasReference ? [info('reference', true)] : []),
  ];
});

/** The id of an operation in a binary. */
export function kernelId(operation: OperationName, binary: Binary): string {
  const described = OPERATIONS[operation];
  return `${described.id}_${variantOf(described, binary)}`;
}

function variantOf({ variants }: Operation, binary: Binary): string {
  return variants ? variants[binary === 'relaxed' ? 0 : 1] : binary;
}
