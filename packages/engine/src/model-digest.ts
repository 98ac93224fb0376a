import type { KernelMemory } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { WordHash } from './word-hash.ts';
import type { Weights } from './weights.ts';

/**
 * 16 bytes that tell a model from every other: its hyperparameters and all of its weights, as they were read. So the same
 * file opened in another I2_S layout or TL1 tiling is another model. Takes a quarter of a second for each gigabyte.
 */
export function modelDigest(config: ModelConfig, weights: Weights, memory: KernelMemory): Uint8Array<ArrayBuffer> {
  const { ternaryType, arrays, linears } = weights;
  // Names and layouts, too: the bytes of a bias could be another's, those of F16 be BF16.
  const matrices = arrays.map(({ name, matrix }) => [name, matrix?.layout, matrix?.scale]);
  const described = [config, ternaryType, matrices, linears.map(({ scale }) => scale)];
  const hash = new WordHash().update(new TextEncoder().encode(JSON.stringify(described)));
  for (const { pointer, sizeBytes } of arrays) hash.update(memory.bytes(pointer, sizeBytes));
  return hash.digest();
}
