import { type Backend, compilerWarning, findReference, openBitnet } from '@bittern/cpp-bridge';
import type { LadderCase, Side } from '@bittern/crossval';
import type { Numerics } from '@bittern/engine';
import { bridgeIdentity, bridgeSide } from '../bridge-side.ts';
import { NotComparedError } from '../errors.ts';
import type { Io } from '../io.ts';
import { warn } from '../output.ts';
import { contextFor, liveCases, type LiveRequest } from './live-cases.ts';

/** A bitnet.cpp that runs, and what it is asked. */
export interface LiveBitnet extends AsyncDisposable {
  readonly side: Side;
  /** What our engine must reproduce. */
  readonly numerics: Numerics;
  readonly cases: readonly LadderCase[];
  /** Its settings, for people. */
  readonly context: string;
}

/**
 * Opens a model in the bitnet.cpp that BITNET_CPP_DIR names.
 *
 * @throws BridgeError; NotComparedError for a build whose order of sums our engine does not have
 */
export async function openLiveBitnet(model: string, request: LiveRequest, io: Io): Promise<LiveBitnet> {
  const { env, signal } = io;
  const contextLength = contextFor(request);
  const library = await findReference('bitnet', { env, signal });
  const warning = compilerWarning(library);
  if (warning !== undefined) warn(io, warning);
  const backend = await openBitnet({ model, library, contextLength, signal });
  try {
    return await describe(backend, request, signal);
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}

async function describe(backend: Backend, request: LiveRequest, signal: AbortSignal): Promise<LiveBitnet> {
  const { info } = backend;
  if (info.numerics === null) {
    throw new NotComparedError(
      `this bitnet.cpp was built without AVX2 and FMA, and our engine reproduces no other order of sums. It says: ${info.version.systemInfo}`,
    );
  }
  const side = bridgeSide(backend, bridgeIdentity(info, info.numerics));
  const { contextLength, keys, microBatch, threads } = info.context;
  return {
    side,
    numerics: info.numerics,
    cases: await liveCases(side, request, signal),
    context: `${contextLength} cells, key/value cache ${keys}, micro-batch ${microBatch}, threads ${threads}`,
    [Symbol.asyncDispose]: () => backend.dispose(),
  };
}
