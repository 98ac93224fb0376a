import type { GgmlTypeName } from '@bittern/gguf-parser';
import type { Tl1Kernel } from './tl1.ts';

/** Types of matrices that can be multiplied. I2_S and TL1 are bitnet.cpp's own, the others llama.cpp's. */
export const MATRIX_TYPES = ['I2_S', 'TL1', 'F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q6_K', 'TQ1_0', 'TQ2_0'] as const;

export type MatrixType = (typeof MATRIX_TYPES)[number];

/** Those whose rows can be looked up: types of token embeddings. */
export const EMBEDDING_TYPES: readonly MatrixType[] = MATRIX_TYPES.filter((type) => type !== 'I2_S' && type !== 'TL1');

/**
 * How a matrix lies in the kernels' memory. `row-pairs` and `tl1-tiles` are ternary, repacked (kernels, `packRowPairs`
 * and `tl1ToTiles`); the others are as in files. TQ1_0 becomes TQ2_0, which holds the same.
 */
export type MatrixLayout = 'row-pairs' | 'tl1-tiles' | Exclude<MatrixType, 'I2_S' | 'TL1' | 'TQ1_0'>;

/** What a product wants rows of activations as (numerics, sections 3 and 11). */
export type ActivationType = 'int8' | 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q8_K';

interface LayoutTraits {
  readonly blockColumns: number;
  readonly blockBytes: number;
  readonly activations: ActivationType;
}

const LAYOUTS: Readonly<Record<MatrixLayout, LayoutTraits>> = {
  'row-pairs': { blockColumns: 4, blockBytes: 1, activations: 'int8' },
  'tl1-tiles': { blockColumns: 4, blockBytes: 1, activations: 'int8' },
  F32: { blockColumns: 1, blockBytes: 4, activations: 'F32' },
  F16: { blockColumns: 1, blockBytes: 2, activations: 'F16' },
  BF16: { blockColumns: 1, blockBytes: 2, activations: 'BF16' },
  Q8_0: { blockColumns: 32, blockBytes: 34, activations: 'Q8_0' },
  Q4_0: { blockColumns: 32, blockBytes: 18, activations: 'Q8_0' },
  Q6_K: { blockColumns: 256, blockBytes: 210, activations: 'Q8_K' },
  TQ2_0: { blockColumns: 256, blockBytes: 66, activations: 'Q8_K' },
};

export function isMatrixType(type: GgmlTypeName): type is MatrixType {
  return (MATRIX_TYPES as readonly GgmlTypeName[]).includes(type);
}

export function layoutOf(type: MatrixType, tl1Kernel: Tl1Kernel): MatrixLayout {
  if (type === 'I2_S') return 'row-pairs';
  if (type === 'TL1') return tl1Kernel === 'lut' ? 'tl1-tiles' : 'row-pairs';
  return type === 'TQ1_0' ? 'TQ2_0' : type;
}

export function activationsOf(layout: MatrixLayout): ActivationType {
  return LAYOUTS[layout].activations;
}

/** Of a row; a whole number where `columns` are whole blocks. */
export function rowBytesOf(layout: MatrixLayout, columns: number): number {
  const { blockColumns, blockBytes } = LAYOUTS[layout];
  return (columns / blockColumns) * blockBytes;
}
