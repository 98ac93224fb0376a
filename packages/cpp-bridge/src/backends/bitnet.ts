import type { Backend, BackendCapabilities, BackendInfo } from '../backend.ts';
import type { ReferenceLibrary } from '../library.ts';
import { openBackend, type OpenBackendOptions } from '../open-backend.ts';

export interface OpenBitnetOptions extends OpenBackendOptions {
  /** What you built; there is no other. */
  readonly library: ReferenceLibrary;
}

const CAPABILITIES: BackendCapabilities = {
  architectures: ['bitnet', 'bitnet-25', 'bitnet-b1.58', 'llama'],
  ternaryTypes: ['F32', 'F16', 'I2_S', 'TL1'],
  // Without flash attention the old generation has its values in f16 only.
  cacheTypes: ['f16'],
  hooks: true,
};

/**
 * A model in a bitnet.cpp that you built: one thread, flash attention off, key/value cache in f16.
 *
 * @throws BridgeError
 */
export async function openBitnet({ library, ...options }: OpenBitnetOptions): Promise<Backend> {
  return await openBackend(options, {
    library,
    keys: 'f16',
    values: 'f16',
    capabilities: CAPABILITIES,
    numerics: numericsOf,
  });
}

/**
 * Which order of float sums a build has: that of the instructions that it was compiled for, whatever the machine offers.
 * The line is `… | AVX2 = 1 | AVX512 = 0 | …`; null for a build that has neither (docs/numerics.md, section 5.3).
 */
export function numericsOf(systemInfo: string): BackendInfo['numerics'] {
  if (/\bAVX512 = 1\b/.test(systemInfo)) return 'avx512';
  return /\bAVX2 = 1\b/.test(systemInfo) && /\bFMA = 1\b/.test(systemInfo) ? 'avx2' : null;
}
