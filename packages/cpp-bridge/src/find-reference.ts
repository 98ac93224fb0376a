import { BridgeError } from './errors.ts';
import { type InspectOptions, referenceIn } from './inspect.ts';
import type { LibraryBackend, ReferenceLibrary } from './library.ts';
import type { Environment } from './paths.ts';
import { configuredPlace } from './places.ts';
import { howToGet } from './preflight.ts';

/**
 * The reference that is set or installed: for `bitnet` what BITNET_CPP_DIR names, for `llama` what LLAMA_CPP_DIR names, else the npm
 * package; the configuration file counts as the environment. Ready to be opened, not run yet.
 *
 * @throws BridgeError that says what is missing or does not fit, and what to do
 */
export async function findReference(
  backend: LibraryBackend,
  { env, ...options }: InspectOptions & { readonly env: Environment },
): Promise<ReferenceLibrary> {
  const place = await configuredPlace(backend, env);
  if (place !== undefined) return referenceIn(place, options);
  const { message, next } = howToGet(backend);
  throw new BridgeError('BRIDGE_NOT_FOUND', `${message} Next: ${next}`);
}
