import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import {
  type Backend,
  type CacheType,
  findReference,
  numericsOf,
  openLlama,
  type ReferenceLibrary,
  translateBitnetFile,
  type TranslateOptions,
} from '@bittern/cpp-bridge';
import type { LadderCase, Side, SideIdentity } from '@bittern/crossval';
import { bridgeIdentity, bridgeSide } from '../bridge-side.ts';
import { NotComparedError } from '../errors.ts';
import type { Io } from '../io.ts';
import { ProgressLine } from '../output.ts';
import { compareForcedOperations, type ForcedOperation } from './forced-operations.ts';
import { contextFor, liveCases, type LiveRequest } from './live-cases.ts';
import { withBitnetTaps } from './mainline-taps.ts';

/** The order of float sums that llama.cpp's own AVX2 code shares with bitnet.cpp's. */
export const LLAMA_NUMERICS = 'avx2';

/** A llama.cpp that runs, on an equivalent file and with the hooks that make its graph bitnet.cpp's. */
export interface LiveLlama extends AsyncDisposable {
  /** For one token at a time: then both compute the same sums in the same order, so that every bit can be equal. */
  readonly side: Side;
  readonly cases: readonly LadderCase[];
  /**
   * In a batch llama.cpp sums attention in another order, so there every operation is compared by itself, in the first
   * prompt. Loads the model anew: `side` cannot be used any more.
   */
  compareOperations(ours: Side): Promise<readonly ForcedOperation[]>;
}

export interface LlamaModel {
  readonly path: string;
  /** Of that file. */
  readonly identity: SideIdentity['model'];
  readonly translate: Pick<TranslateOptions, 'i2sPacking' | 'tl1Tilings'>;
}

/** llama.cpp, as the environment or the npm package has it. */
export async function findLlama({ env, signal }: Io): Promise<ReferenceLibrary> {
  return await findReference('llama', { env, signal });
}

/** @throws BridgeError; NotComparedError for a build whose order of sums is not that of a bitnet.cpp */
export async function openLiveLlama(
  library: ReferenceLibrary,
  { path, identity, translate }: LlamaModel,
  request: Omit<LiveRequest, 'modes'>,
  io: Io,
): Promise<LiveLlama> {
  const { signal } = io;
  const contextLength = contextFor(request);
  await using opening = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'bittern-llama-'));
  opening.defer(() => rm(folder, { recursive: true, force: true }));

  async function open(widenEmbedding: boolean, values: CacheType): Promise<Backend> {
    using progress = new ProgressLine(io);
    progress.show('llama.cpp: writing the model for it');
    const output = join(folder, `${widenEmbedding ? 'widened' : 'kept'}.${basename(path)}`);
    const hooks = await translateBitnetFile(
      { model: path, output },
      { ...translate, weights: 'F16', widenEmbedding, signal },
    );
    // In f32, so that probabilities are not rounded to f16: bitnet.cpp does so for single tokens only.
    const halfValues = values === 'f32';
    return await openLlama({
      model: output,
      library,
      contextLength,
      keys: 'f16',
      values,
      hooks: { ...hooks, halfValues },
      signal,
    });
  }

  const backend = opening.use(await open(false, 'f16'));
  requireNumerics(backend.info.version.systemInfo);
  const side = bridgeSide(backend, { ...bridgeIdentity(backend.info, LLAMA_NUMERICS), model: identity });
  const cases = await liveCases(side, { ...request, modes: ['sequential'] }, signal);
  const opened = opening.move();
  return {
    side: withBitnetTaps(side, (ids, options) => backend.trace(ids, options), backend.info.hooks),
    cases,
    async compareOperations(ours) {
      const [{ ids }] = cases as [LadderCase];
      await backend.dispose(); // a large model need not be in memory twice
      await using widened = await open(true, 'f32');
      using progress = new ProgressLine(io);
      progress.show('llama.cpp: operation by operation');
      return await compareForcedOperations(ours, widened, ids, signal);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function requireNumerics(systemInfo: string): void {
  const numerics = numericsOf(systemInfo);
  if (numerics === LLAMA_NUMERICS) return;
  throw new NotComparedError(
    `this llama.cpp sums in another order (${numerics ?? 'no AVX2'}): only its AVX2 code has that of a bitnet.cpp. ` +
      'Unset LLAMA_CPP_DIR to take the npm package, or build it for AVX2.',
  );
}
