import { type GgufFile, type GgufSource, openGguf } from '@bittern/gguf-parser';
import {
  I2S_LAYOUTS,
  type I2sLayout,
  KERNEL_VARIANTS,
  type KernelChoice,
  type KernelCounter,
  type KernelVariant,
  loadKernels,
  type WasmKernels,
} from '@bittern/kernels';
import { requireRunnable } from './check.ts';
import type { ModelConfig } from './config.ts';
import { EngineError } from './errors.ts';
import { refuseUnknownOptions, refuseUnlessOneOf } from './options.ts';
import { HEAD_KINDS, type HeadKind, ScreenedHead } from './screened-head.ts';
import { type ScreenedSession, Session, type SessionModel } from './session.ts';
import type { Tl1Kernel, Tl1Tilings } from './tl1.ts';
import type { TopLogits } from './top-logits.ts';
import { type LoadProgress, loadWeights } from './weights.ts';

/** The reference build whose bits are reproduced: its vector width decides the order of float sums (numerics, section 5.3). */
export type Numerics = 'avx2' | 'avx512';

export const NUMERICS: readonly Numerics[] = ['avx2', 'avx512'];

export interface LoadModelOptions {
  /** Default `avx512`. */
  readonly numerics?: Numerics;
  /**
   * How the file packs I2_S weights, which it does not say. Default: as the file was opened, which is `128x32` unless
   * told otherwise, the layout of all released files.
   */
  readonly i2sLayout?: I2sLayout;
  /**
   * How the file packs TL1 weights, which it does not say either; needed for a file that has them. A wrong one is not
   * noticed, and gives wrong logits.
   */
  readonly tl1Tiling?: Tl1Tilings;
  /** Default `transcode`. Results are the same; which is the faster depends on the kernels. */
  readonly tl1Kernel?: Tl1Kernel;
  /**
   * Default `exact`. `screened` makes an int8 copy of the head at load, half as large as the head, and with it sessions
   * that compute only the logits that can be among the largest: see {@link Model.createSession}.
   */
  readonly head?: HeadKind;
  /** Default `auto`: the fastest that is exact here. Results are the same. */
  readonly kernels?: KernelVariant | 'auto';
  /**
   * Default false. True tries V8's experimental revectorizer, for the whole process: faster ternary products where it
   * works (`model.revectorized`). Results are the same.
   */
  readonly revectorize?: boolean;
  /**
   * Threads that share each operation; results do not depend on it. Default `auto`: as many as the machine runs at
   * once, but one for a model of less than 64 MB, where waiting for each other costs more than sharing saves, and one
   * where there is no SharedArrayBuffer (a page that is not cross-origin isolated).
   */
  readonly threads?: number | 'auto';
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly onWarning?: (message: string) => void;
}

const KNOWN_OPTIONS: readonly (keyof LoadModelOptions)[] = [
  'numerics',
  'i2sLayout',
  'tl1Tiling',
  'tl1Kernel',
  'kernels',
  'threads',
  'revectorize',
  'head',
  'signal',
  'onProgress',
  'onWarning',
];

/**
 * Loads a BitNet model from a GGUF file.
 *
 * @throws {GgufError} from `@bittern/gguf-parser` for a file that is damaged
 * @throws {EngineError} for a model that cannot be run here: the first problem of {@link checkModel}, or bad weights
 * @throws {KernelError} from `@bittern/kernels` where WebAssembly SIMD or memory is lacking
 */
export async function loadModel(
  source: GgufSource | GgufFile | Uint8Array | ArrayBuffer,
  options: LoadModelOptions = {},
): Promise<Model> {
  const {
    numerics = 'avx512',
    tl1Tiling = {},
    tl1Kernel = 'transcode',
    kernels: variant = 'auto',
    threads = 'auto',
    revectorize = false,
    head = 'exact',
    signal,
    onProgress,
    onWarning,
  } = options;
  refuseUnknownOptions(options, KNOWN_OPTIONS);
  refuseUnlessOneOf('numerics', numerics, NUMERICS);
  refuseUnlessOneOf('head', head, HEAD_KINDS);
  refuseUnlessOneOf('kernels', variant, ['auto', ...KERNEL_VARIANTS]);

  const gguf = isGgufFile(source) ? source : await openGguf(source, signal ? { signal } : {});
  const { i2sLayout = gguf.i2sLayout } = options;
  refuseUnlessOneOf('i2sLayout', i2sLayout, I2S_LAYOUTS);
  const config = requireRunnable(gguf, { tl1Tiling, tl1Kernel, head }, onWarning);
  const kernels = await loadKernels({
    variant,
    threads: threads === 'auto' ? threadsFor(gguf.source.sizeBytes) : threads,
    revectorize,
  });
  try {
    const weights = await loadWeights(gguf, config, kernels, {
      i2sLayout,
      tl1Tiling,
      tl1Kernel,
      head,
      signal,
      onProgress,
    });
    return new Model(gguf, numerics, {
      config,
      weights,
      kernels,
      lanes: numerics === 'avx512' ? 16 : 8,
      tl1Kernel: weights.ternaryType === 'TL1' ? tl1Kernel : undefined,
    });
  } catch (error) {
    kernels.dispose();
    throw error;
  }
}

/** The sampler's default. */
const DEFAULT_TOP_K = 40;

/** A decode step of a model of this size is about as long as its barriers. */
const SMALL_MODEL_BYTES = 64e6;

function threadsFor(modelBytes: number): number {
  if (modelBytes < SMALL_MODEL_BYTES || typeof SharedArrayBuffer === 'undefined') return 1;
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}

function isGgufFile(source: object): source is GgufFile {
  return 'tensors' in source;
}

/** A loaded model: weights in WebAssembly memory, shared by its sessions. */
export class Model {
  readonly gguf: GgufFile;
  readonly numerics: Numerics;
  readonly #sessions = new Set<Session | ScreenedSession>();
  #parts: SessionModel | undefined;

  /** Use {@link loadModel}. */
  constructor(gguf: GgufFile, numerics: Numerics, parts: SessionModel) {
    this.gguf = gguf;
    this.numerics = numerics;
    this.#parts = parts;
  }

  get config(): ModelConfig {
    return this.#use().config;
  }

  /** Which kernels run: a matter of speed, not of results. */
  get kernelVariant(): WasmKernels['variant'] {
    return this.#use().kernels.variant;
  }

  /** Which of the kernels for ternary products run, and which were tried. */
  get kernelChoice(): KernelChoice {
    return this.#use().kernels.choice;
  }

  /** Whether the ternary products are those for V8's revectorizer. */
  get revectorized(): boolean {
    return this.#use().kernels.revectorized;
  }

  /** How TL1 weights are run, too; undefined where the file has none. */
  get tl1Kernel(): Tl1Kernel | undefined {
    return this.#use().tl1Kernel;
  }

  get threads(): number {
    return this.#use().kernels.threads;
  }

  /** Bytes of WebAssembly memory that the model and its sessions hold. */
  get memoryBytes(): number {
    return this.#use().kernels.memory.sizeBytes;
  }

  /** Whether sessions can have the screened head, too. */
  get head(): HeadKind {
    return this.#use().weights.screen ? 'screened' : 'exact';
  }

  /** What each kernel did since the model was loaded, loading included, or {@link Model.resetCounters}; of all sessions. */
  counters(): KernelCounter[] {
    return this.#use().kernels.counters();
  }

  resetCounters(): void {
    this.#use().kernels.resetCounters();
  }

  /** Whether kernels count their time from now on; at first they do not. */
  timeKernels(on: boolean): void {
    this.#use().kernels.timeCalls(on);
  }

  /**
   * @param options.contextLength - tokens that the session can hold; default and maximum: the model's own
   * @param options.head - default `exact`. `screened` wants a model that was loaded so: evaluations give the `topK`
   *   largest logits (default 40), with the bits that the exact head gives them
   * @throws {RangeError} for a contextLength outside 1..config.contextLength, a topK outside 1..config.vocabSize
   * @throws {EngineError} ENGINE_NO_SCREEN for a screened session of a model that was loaded without
   */
  createSession(options?: { contextLength?: number; head?: 'exact' }): Session;
  createSession(options: { contextLength?: number; head: 'screened'; topK?: number }): ScreenedSession;
  createSession(options: { contextLength?: number; head?: HeadKind; topK?: number } = {}): Session | ScreenedSession {
    const { head = 'exact' } = options;
    refuseUnlessOneOf('head', head, HEAD_KINDS);
    refuseUnknownOptions(options, head === 'screened' ? ['contextLength', 'head', 'topK'] : ['contextLength', 'head']);
    const parts = this.#use();
    const { contextLength = parts.config.contextLength } = options;
    if (!(Number.isInteger(contextLength) && contextLength >= 1 && contextLength <= parts.config.contextLength)) {
      throw new RangeError(
        `contextLength ${contextLength} is not a whole number from 1 to ${parts.config.contextLength}, the model's own.`,
      );
    }
    const session =
      head === 'screened'
        ? this.#screenedSession(contextLength, options.topK)
        : new Session(parts, contextLength, (disposed) => this.#sessions.delete(disposed));
    this.#sessions.add(session);
    return session;
  }

  #screenedSession(contextLength: number, topK: number = DEFAULT_TOP_K): ScreenedSession {
    const parts = this.#use();
    const { config, weights, kernels } = parts;
    if (weights.screen === undefined) {
      throw new EngineError(
        'ENGINE_NO_SCREEN',
        "A screened session needs a model loaded with the option head: 'screened'.",
      );
    }
    const most = config.vocabSize;
    if (!(Number.isInteger(topK) && topK >= 1 && topK <= most))
      throw new RangeError(`topK ${topK} is not a whole number from 1 to ${most}, the vocabulary's size.`);
    const head = new ScreenedHead(config, kernels, weights.output, weights.screen, topK);
    try {
      return new Session<TopLogits>(parts, contextLength, (disposed) => this.#sessions.delete(disposed), head);
    } catch (error) {
      head.free();
      throw error;
    }
  }

  /**
   * Disposes the sessions and lets go of the memory. Idempotent; any other use afterwards is an error.
   *
   * @throws {EngineError} ENGINE_BUSY while a session evaluates: await it first
   */
  dispose(): void {
    // All or none: a session that evaluates refuses.
    for (const session of [...this.#sessions].toSorted((a, b) => Number(b.busy) - Number(a.busy))) session.dispose();
    this.#parts?.kernels.dispose();
    this.#parts = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #use(): SessionModel {
    if (this.#parts === undefined) throw new EngineError('ENGINE_DISPOSED', 'This model was disposed; load it again.');
    return this.#parts;
  }
}
