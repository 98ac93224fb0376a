import { findReference } from '../src/find-reference.ts';
import type { ReferenceLibrary } from '../src/library.ts';

/** Where the npm package exists. There its tests fail without it; elsewhere they do not run. */
export const HAS_NPM_LIBRARY: boolean = process.platform === 'linux' && process.arch === 'x64';

/** The npm package's llama.cpp, whatever the environment of the tests says; the CPU backend is the same everywhere. */
export async function npmReference({
  cpuVariant = 'haswell',
}: { readonly cpuVariant?: string } = {}): Promise<ReferenceLibrary> {
  return await findReference('llama', { env: { HOME: '/nonexistent' }, cpuVariant });
}
