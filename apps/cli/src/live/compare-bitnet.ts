import { type Backend, compilerWarning, findReference, openBitnet } from '@bittern/cpp-bridge';
import type { EvaluationMode, LadderCase, Side } from '@bittern/crossval';
import type { Numerics } from '@bittern/engine';
import { bridgeIdentity, bridgeSide } from '../bridge-side.ts';
import { NotComparedError } from '../errors.ts';
import type { Io } from '../io.ts';
import { contextFor, liveCases, type LivePrompt } from './live-cases.ts';

const MODES: readonly EvaluationMode[] = ['batch-all', 'batch-last', 'sequential'];

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
export async function openLiveBitnet(
  model: string,
  prompts: readonly LivePrompt[],
  greedy: number,
  { env, signal, stderr }: Io,
): Promise<LiveBitnet> {
  const library = await findReference('bitnet', { env, signal });
  const warning = compilerWarning(library);
  if (warning !== undefined) stderr.write(`Warning: ${warning}\n`);
  const backend = await openBitnet({ model, library, contextLength: contextFor(prompts, greedy), signal });
  try {
    return await describe(backend, prompts, greedy, signal);
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}

async function describe(
  backend: Backend,
  prompts: readonly LivePrompt[],
  greedy: number,
  signal: AbortSignal,
): Promise<LiveBitnet> {
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
    cases: await liveCases(side, prompts, MODES, greedy, signal),
    context: `${contextLength} cells, key/value cache ${keys}, micro-batch ${microBatch}, threads ${threads}`,
    [Symbol.asyncDispose]: () => backend.dispose(),
  };
}
