import type { KernelMemory } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { WordHash } from './word-hash.ts';
import type { Weights } from './weights.ts';

/**
 * 16 bytes that tell a model from every other: its hyperparameters and all of its weights, as they were read. So the same
 * file opened in another I2_S layout or TL1 tiling is another model. Takes a quarter of a second for each gigabyte.
 */
export function modelDigest(config: ModelConfig, weights: Weights, memory: KernelMemory): Uint8Array<ArrayBuffer> {
  const hash = new WordHash().update(new TextEncoder().encode(JSON.stringify(config)));
  for (const { pointer, sizeBytes, matrix } of weights.arrays) {
    hash.update(memory.bytes(pointer, sizeBytes));
    if (matrix) hash.update(new Uint8Array(Float64Array.of(matrix.scale).buffer));
  }
  return hash.digest();
}
