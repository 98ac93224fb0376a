import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import {
  type Backend,
  type CacheType,
  findReference,
  numericsOf,
  openLlama,
  type OpenLlamaOptions,
  type ReferenceLibrary,
  translateBitnetFile,
  type TranslateOptions,
} from '@bittern/cpp-bridge';
import { type LadderReport, runLadder, type Side, type SideIdentity } from '@bittern/crossval';
import { type GgmlTypeName, openGguf } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { bridgeIdentity, bridgeSide } from '../bridge-side.ts';
import { NotComparedError } from '../errors.ts';
import type { Io } from '../io.ts';
import { ProgressLine } from '../output.ts';
import { compareForcedOperations, type OperationError } from './forced-operations.ts';
import { contextFor, liveCases, type LivePrompt } from './live-cases.ts';
import { type MainlineGraph, translatedGraph, withBitnetTaps, withoutFusedTaps } from './mainline-taps.ts';

/** The order of float sums that llama.cpp's own AVX2 code shares with bitnet.cpp's. */
export const LLAMA_NUMERICS = 'avx2';

/** Types that it does not have. */
const BITNET_TYPES: ReadonlySet<GgmlTypeName> = new Set<GgmlTypeName>(['I2_S', 'TL1', 'TL2']);

export interface LlamaComparison {
  readonly ladder: LadderReport;
  /** Null for a file that llama.cpp reads itself. */
  readonly operations: readonly OperationError[] | null;
}

export interface CompareLlamaOptions {
  readonly model: string;
  /** Of that file. */
  readonly identity: SideIdentity['model'];
  /** Our engine with numerics `LLAMA_NUMERICS`. */
  readonly ours: Side;
  readonly prompts: readonly LivePrompt[];
  readonly greedy: number;
  readonly exact: boolean;
  readonly translate: Pick<TranslateOptions, 'i2sPacking' | 'tl1Tilings'>;
}

/** llama.cpp, as the environment or the npm package has it. */
export async function findLlama({ env, signal }: Io): Promise<ReferenceLibrary> {
  return await findReference('llama', { env, signal });
}

/**
 * Compares our engine with llama.cpp itself: on the same file where llama.cpp can read it, else on an equivalent one and
 * with the hooks that make its graph bitnet.cpp's.
 *
 * Token by token both compute the same sums in the same order, so that climb can be exact. In a batch llama.cpp sums
 * attention in another order; there every operation is compared by itself, of an equivalent file.
 */
export async function compareWithLlama(
  library: ReferenceLibrary,
  options: CompareLlamaOptions,
  io: Io,
): Promise<LlamaComparison> {
  using progress = new ProgressLine(io);
  const contextLength = contextFor(options.prompts, options.greedy);
  const open = (settings: Omit<OpenLlamaOptions, 'library'>): Promise<Backend> =>
    openLlama({ ...settings, library, contextLength, signal: io.signal });
  const graph = await graphOf(options.model, io.signal);
  if (graph === undefined) return await compareTranslated(open, options, io, progress);
  await using backend = await open({ model: options.model, keys: 'f16', values: 'f16' });
  return { ladder: await climb(backend, graph, options, io, progress), operations: null };
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

/** The ladder, token by token. */
async function climb(
  backend: Backend,
  graph: MainlineGraph,
  { identity, ours, prompts, greedy, exact }: CompareLlamaOptions,
  { signal }: Io,
  progress: ProgressLine,
): Promise<LadderReport> {
  requireNumerics(backend.info.version.systemInfo);
  const side = bridgeSide(backend, { ...bridgeIdentity(backend.info, LLAMA_NUMERICS), model: identity });
  const cases = await liveCases(side, prompts, ['sequential'], greedy, signal);
  return await runLadder({
    ours: withoutFusedTaps(ours),
    reference: withBitnetTaps(side, (ids, options) => backend.trace(ids, options), graph),
    cases,
    exact,
    signal,
    onProgress: ({ rung, done, total }) => progress.show(`llama.cpp: ${rung}, case ${done + 1} of ${total}`),
  });
}

async function compareTranslated(
  openBackend: (settings: Omit<OpenLlamaOptions, 'library'>) => Promise<Backend>,
  options: CompareLlamaOptions,
  io: Io,
  progress: ProgressLine,
): Promise<LlamaComparison> {
  const { model, ours, prompts, translate } = options;
  const { signal } = io;
  const folder = await mkdtemp(join(tmpdir(), 'bittern-llama-'));
  try {
    const open = async (widenEmbedding: boolean, values: CacheType): Promise<Backend> => {
      progress.show('llama.cpp: writing the model for it');
      const output = join(folder, `${widenEmbedding ? 'widened' : 'kept'}.${basename(model)}`);
      const hooks = await translateBitnetFile(
        { model, output },
        { ...translate, weights: 'F16', widenEmbedding, signal },
      );
      // In f32, so that probabilities are not rounded to f16: bitnet.cpp does so for single tokens only.
      const halfValues = values === 'f32';
      return await openBackend({ model: output, keys: 'f16', values, hooks: { ...hooks, halfValues } });
    };

    let ladder: LadderReport;
    {
      await using backend = await open(false, 'f16');
      ladder = await climb(backend, translatedGraph(backend.info.hooks), options, io, progress);
    }

    await using backend = await open(true, 'f32');
    progress.show('llama.cpp: operation by operation');
    const [{ text, parseSpecial }] = prompts as [LivePrompt];
    const ids = await backend.tokenize(text, { parseSpecial, signal });
    return { ladder, operations: await compareForcedOperations(ours, backend, ids, signal) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function requireNumerics(systemInfo: string): void {
  const numerics = numericsOf(systemInfo);
  if (numerics === LLAMA_NUMERICS) return;
  throw new NotComparedError(
    `this llama.cpp sums in another order (${numerics ?? 'no AVX2'}): only its AVX2 code has that of a bitnet.cpp. ` +
      'Unset LLAMA_CPP_DIR to take the npm package, or build it for AVX2.',
  );
}
