import type { Backend, BackendCapabilities } from '../backend.ts';
import { findReference } from '../find-reference.ts';
import type { GraphHooks } from '../hooks.ts';
import type { ReferenceLibrary } from '../library.ts';
import type { CacheType } from '../protocol.ts';
import { openBackend, type OpenBackendOptions } from '../open-backend.ts';

export interface OpenLlamaOptions extends OpenBackendOptions {
  /** Default: what `findReference` finds with the process's environment. */
  readonly library?: ReferenceLibrary;
  /** Types of the key/value cache. Default: f32, llama.cpp's own are f16. */
  readonly keys?: CacheType;
  readonly values?: CacheType;
  /** Default: none, the graph is llama.cpp's own. */
  readonly hooks?: GraphHooks;
}

const CAPABILITIES: BackendCapabilities = {
  architectures: ['bitnet', 'llama'],
  ternaryTypes: ['F32', 'F16', 'TQ1_0', 'TQ2_0'],
  cacheTypes: ['f16', 'f32'],
  hooks: true,
};

/**
 * A model in llama.cpp: one thread, flash attention and repacking of weights off, key/value cache in f32.
 *
 * @throws BridgeError
 */
export async function openLlama({
  library,
  keys = 'f32',
  values = 'f32',
  hooks,
  ...options
}: OpenLlamaOptions): Promise<Backend> {
  return await openBackend(options, {
    library: library ?? (await findReference('llama', { env: process.env })),
    keys,
    values,
    hooks,
    capabilities: CAPABILITIES,
    numerics: () => null,
  });
}
