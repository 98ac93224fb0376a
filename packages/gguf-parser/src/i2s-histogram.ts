import { quoteName } from './errors.ts';
import type { GgufFile } from './open.ts';
import type { StreamOptions } from './tensor-data.ts';
import { tensorTypeOf } from './tensor-types.ts';

/** How often each 2-bit code is in a payload: 0, 1, 2 for -1, 0, +1, and 3, which means nothing. */
export type CodeHistogram = readonly [minusOne: number, zero: number, plusOne: number, invalid: number];

/**
 * Counts the codes of an I2_S tensor, its trailer left out.
 *
 * What it can tell: a sound payload has no code 3 (random bytes have a quarter), so one is proof that the bytes are not
 * I2_S, are damaged or are cut at the wrong place. About a third or more zeros is usual; all of one code is suspicious.
 * What it cannot: which layout it is. 128x32 and 64x16 put the same codes in other places, so their histograms are
 * equal, as is that of weights in any other order. Nor does it see a wrong scale.
 *
 * @throws TypeError if the tensor is not I2_S
 */
export async function i2sHistogram(file: GgufFile, name: string, options: StreamOptions = {}): Promise<CodeHistogram> {
  const tensor = file.tensors.get(name);
  if (tensor !== undefined && tensor.type !== 'I2_S') {
    throw new TypeError(`Tensor ${quoteName(name)} is ${tensor.type}; only I2_S has these codes.`);
  }
  const bytesOfValue = new Float64Array(256);
  let left = (tensor?.sizeBytes ?? 0) - tensorTypeOf('I2_S').trailerBytes;
  for await (const chunk of file.streamTensor(name, options)) {
    for (const byte of chunk.subarray(0, left)) {
      bytesOfValue[byte]! += 1;
    }
    left = Math.max(0, left - chunk.byteLength);
  }
  const codes: [number, number, number, number] = [0, 0, 0, 0];
  for (const [byte, count] of bytesOfValue.entries()) {
    for (let shift = 0; shift < 8; shift += 2) {
      codes[(byte >> shift) & 3]! += count;
    }
  }
  return codes;
}
