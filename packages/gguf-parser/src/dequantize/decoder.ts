import { GgufError, quoteName } from '../errors.ts';
import type { GgufTensor } from '../tensor-infos.ts';
import type { GgmlTypeName } from '../tensor-types.ts';
import { tensorTypeOf } from '../tensor-types.ts';
import { half } from './half.ts';
import type { I2sLayout } from './i2s.ts';
import { i2sBlockBytes, i2sDecoder } from './i2s.ts';
import { q2_K, q3_K, q4_K, q5_K, q6_K } from './k-blocks.ts';
import type { BlockDecoder } from './simple-blocks.ts';
import { q4_0, q4_1, q5_0, q5_1, q8_0 } from './simple-blocks.ts';
import { tq1_0, tq2_0 } from './ternary-blocks.ts';
import type { Tl1Tiling } from './tl1.ts';
import { requireTl1Tiling, tl1Decoder } from './tl1.ts';

/** Decodes a tensor unit by unit; units follow one another in the file and in the result. */
export interface Decoder {
  readonly unitElements: number;
  readonly unitBytes: number;
  readonly decodeUnit: BlockDecoder;
}

const number = new DataView(new ArrayBuffer(4));

const f32: BlockDecoder = (bytes, at, out, to) => {
  number.setUint32(0, bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
  out[to] = number.getFloat32(0);
};

const f16: BlockDecoder = (bytes, at, out, to) => {
  out[to] = half(bytes, at);
};

/** The upper half of an f32. */
const bf16: BlockDecoder = (bytes, at, out, to) => {
  number.setUint32(0, (bytes[at]! << 16) | (bytes[at + 1]! << 24));
  out[to] = number.getFloat32(0);
};

/** The types whose blocks stand alone. */
const BLOCK_DECODERS: Partial<Record<GgmlTypeName, BlockDecoder>> = {
  F32: f32,
  F16: f16,
  BF16: bf16,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q2_K: q2_K,
  Q3_K: q3_K,
  Q4_K: q4_K,
  Q5_K: q5_K,
  Q6_K: q6_K,
  TQ1_0: tq1_0,
  TQ2_0: tq2_0,
};

/**
 * @param scale - of the tensor's trailer; NaN if it has none
 * @param tiling - for TL1 only, and needed there
 * @throws GgufError GGUF_CANNOT_DEQUANTIZE, or GGUF_BAD_SHAPE for I2_S that is no whole number of the layout's blocks
 * @throws TypeError for TL1 without a tiling; RangeError for one that does not divide the tensor
 */
export function decoderOf(
  tensor: GgufTensor,
  scale: number,
  layout: I2sLayout,
  tiling: Tl1Tiling | undefined,
): Decoder {
  const { type, name, elementCount } = tensor;
  if (type === 'I2_S') {
    const unitBytes = i2sBlockBytes(layout);
    if (elementCount % (4 * unitBytes) !== 0) {
      const what = `Tensor ${quoteName(name)} has ${elementCount} elements`;
      const advice = `I2_S in the layout ${layout} has a multiple of ${4 * unitBytes}`;
      throw new GgufError('GGUF_BAD_SHAPE', `${what}; ${advice}. The layout is another one or the file is damaged.`);
    }
    return { unitElements: 4 * unitBytes, unitBytes, decodeUnit: i2sDecoder(layout, scale) };
  }
  if (type === 'TL1') {
    return tl1DecoderOf(tensor, scale, tiling);
  }
  const decodeUnit = BLOCK_DECODERS[type];
  if (decodeUnit === undefined) {
    const known = [...Object.keys(BLOCK_DECODERS), 'I2_S', 'TL1'].join(', ');
    const what = `Tensor ${quoteName(name)} is ${type}, which cannot be dequantized here`;
    throw new GgufError('GGUF_CANNOT_DEQUANTIZE', `${what}. Known: ${known}; readTensor gives the bytes.`);
  }
  const { blockElements, blockBytes } = tensorTypeOf(type);
  return { unitElements: blockElements, unitBytes: blockBytes, decodeUnit };
}

/** A unit is a band of `tileRows` rows. */
function tl1DecoderOf(tensor: GgufTensor, scale: number, tiling: Tl1Tiling | undefined): Decoder {
  if (tiling === undefined) {
    const what = `Tensor ${quoteName(tensor.name)} is TL1, whose tiling is not in the file`;
    throw new TypeError(`${what}. Give tl1Tiling: the bm, bk and bmm of the kernel_config.ini that it was made with.`);
  }
  const columns = tensor.ggmlDims[0]!;
  requireTl1Tiling(tiling, tensor.elementCount / columns, columns);
  const unitElements = tiling.tileRows * columns;
  return { unitElements, unitBytes: unitElements / 4, decodeUnit: tl1Decoder(tiling, columns, scale) };
}
