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
import { type GgmlTypeName, openGguf } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { bridgeIdentity, bridgeSide } from '../bridge-side.ts';
import { NotComparedError } from '../errors.ts';
import type { Io } from '../io.ts';
import { ProgressLine } from '../output.ts';
import { compareForcedOperations, type ForcedOperation } from './forced-operations.ts';
import { contextFor, liveCases, type LiveRequest } from './live-cases.ts';
import { type MainlineGraph, translatedGraph, withBitnetTaps } from './mainline-taps.ts';

/** The order of float sums that llama.cpp's own AVX2 code shares with bitnet.cpp's. */
export const LLAMA_NUMERICS = 'avx2';

/** Types that it does not have. */
const BITNET_TYPES: ReadonlySet<GgmlTypeName> = new Set<GgmlTypeName>(['I2_S', 'TL1', 'TL2']);

/**
 * A llama.cpp that runs: on the same file where it can read it, else on an equivalent one and with the hooks that make its
 * graph bitnet.cpp's.
 */
export interface LiveLlama extends AsyncDisposable {
  /** For one token at a time: then both compute the same sums in the same order, so that every bit can be equal. */
  readonly side: Side;
  readonly cases: readonly LadderCase[];
  /**
   * In a batch llama.cpp sums attention in another order, so there every operation is compared by itself, in the first
   * prompt. Loads the model anew: `side` cannot be used any more. Undefined for a file that llama.cpp reads itself.
   */
  readonly compareOperations?: (ours: Side) => Promise<readonly ForcedOperation[]>;
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

/** The graph of a file that llama.cpp reads itself; undefined for one that it does not. */
async function graphOf(model: string, signal: AbortSignal): Promise<MainlineGraph | undefined> {
  await using source = await openFile(model);
  const { metadata, tensors } = await openGguf(source, { signal });
  const architecture = metadata.get('general.architecture');
  if (architecture !== 'bitnet' && architecture !== 'llama') return undefined;
  if ([...tensors.values()].some(({ type }) => BITNET_TYPES.has(type))) return undefined;
  const scaled = [...tensors.keys()].some((name) => /^blk\.\d+\.ffn_(?:gate|up)\.scale$/.test(name));
  return { architecture, reluSquared: false, scaled };
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
  const own = await graphOf(path, signal);
  await using opening = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'bittern-llama-'));
  opening.defer(() => rm(folder, { recursive: true, force: true }));

  async function openTranslated(widenEmbedding: boolean, values: CacheType): Promise<Backend> {
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

  const backend = opening.use(
    own
      ? await openLlama({ model: path, library, contextLength, keys: 'f16', values: 'f16', signal })
      : await openTranslated(false, 'f16'),
  );
  requireNumerics(backend.info.version.systemInfo);
  const side = bridgeSide(backend, { ...bridgeIdentity(backend.info, LLAMA_NUMERICS), model: identity });
  const cases = await liveCases(side, { ...request, modes: ['sequential'] }, signal);
  const graph = own ?? translatedGraph(backend.info.hooks);
  const opened = opening.move();
  return {
    side: withBitnetTaps(side, (ids, options) => backend.trace(ids, options), graph),
    cases,
    ...(own === undefined && {
      async compareOperations(ours: Side) {
        const [{ ids }] = cases as [LadderCase];
        await backend.dispose(); // a large model need not be in memory twice
        await using widened = await openTranslated(true, 'f32');
        using progress = new ProgressLine(io);
        progress.show('llama.cpp: operation by operation');
        return await compareForcedOperations(ours, widened, ids, signal);
      },
    }),
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
