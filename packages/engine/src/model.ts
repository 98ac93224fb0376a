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
import { modelDigest } from './model-digest.ts';
import { refuseUnknownOptions, refuseUnlessOneOf } from './options.ts';
import { KV_TYPES, type KvType } from './run-state.ts';
import { HEAD_KINDS, type HeadKind, ScreenedHead } from './screened-head.ts';
import {
  type ScreenedSession,
  Session,
  type SessionModel,
  type SessionOwner,
  type SessionSettings,
} from './session.ts';
import { decodeSession, type RestoredSession } from './session-bytes.ts';
import type { TextCodec } from './text-codec.ts';
import type { Tl1Kernel, Tl1Tilings } from './tl1.ts';
import { defaultTopK, type Logits, type TopLogits } from './top-logits.ts';
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
   * Default `exact`. `screened` makes an int8 copy of the head at load, half as large as the head, and with it sessions that compute
   * only the logits that can be among the largest: see {@link Model.createSession}.
   */
  readonly head?: HeadKind;
  /**
   * Default `auto`: the fastest that is exact here. Results are the same. Or kernels of yours, already loaded: the model
   * disposes them, and `threads` and `revectorize` are theirs.
   */
  readonly kernels?: KernelVariant | 'auto' | WasmKernels;
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
  /** For prompts and answers of text; `loadTextModel` of `@bittern/engine/text` takes the file's own. Default none. */
  readonly tokenizer?: TextCodec;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly onWarning?: (message: string) => void;
}

export interface CreateSessionOptions {
  /** Tokens that the session can hold. Default and maximum: the model's own. */
  readonly contextLength?: number;
  /** How the cache keeps keys and values. Default `f16`, as the reference does; other bits, and twice the memory, with `f32`. */
  readonly kvType?: KvType;
}

export interface ExactHeadOptions {
  /** Default `exact`: all logits. */
  readonly head?: 'exact';
}

export interface ScreenedHeadOptions {
  /** Wants a model that was loaded with `head: 'screened'`: evaluations give the largest logits, with the exact head's bits. */
  readonly head: 'screened';
  /** How many. Default 40, as of samplers, or the whole vocabulary if it is smaller. */
  readonly topK?: number;
}

type HeadOptions = ExactHeadOptions | ScreenedHeadOptions;

/** @throws {RangeError} for a head that there is not */
function knownHeadOptions({ head = 'exact' }: HeadOptions): readonly string[] {
  refuseUnlessOneOf('head', head, HEAD_KINDS);
  return head === 'screened' ? ['head', 'topK'] : ['head'];
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
  'tokenizer',
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
    tokenizer,
    signal,
    onProgress,
    onWarning,
  } = options;
  refuseUnknownOptions(options, KNOWN_OPTIONS);
  refuseUnlessOneOf('numerics', numerics, NUMERICS);
  refuseUnlessOneOf('head', head, HEAD_KINDS);
  if (typeof variant === 'string') refuseUnlessOneOf('kernels', variant, ['auto', ...KERNEL_VARIANTS]);

  const gguf = isGgufFile(source) ? source : await openGguf(source, signal ? { signal } : {});
  const { i2sLayout = gguf.i2sLayout } = options;
  refuseUnlessOneOf('i2sLayout', i2sLayout, I2S_LAYOUTS);
  const config = requireRunnable(gguf, { tl1Tiling, tl1Kernel, head }, onWarning);
  const kernels =
    typeof variant === 'object'
      ? variant
      : await loadKernels({
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
    let digest: Uint8Array | undefined;
    return new Model(gguf, numerics, {
      config,
      weights,
      kernels,
      lanes: numerics === 'avx512' ? 16 : 8,
      tl1Kernel: weights.ternaryType === 'TL1' ? tl1Kernel : undefined,
      tokenizer,
      digest: () => (digest ??= modelDigest(config, weights, kernels.memory)),
    });
  } catch (error) {
    kernels.dispose();
    throw error;
  }
}

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
  readonly #sessions = new Set<{ readonly busy: boolean; dispose(): void }>();
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

  /** The one for prompts and answers of text. */
  get tokenizer(): TextCodec | undefined {
    return this.#use().tokenizer;
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
   * @throws {RangeError} for a contextLength outside 1..config.contextLength, a topK outside 1..config.vocabSize
   * @throws {EngineError} ENGINE_NO_SCREEN for a screened session of a model that was loaded without
   * @throws {KernelError} KERNELS_OUT_OF_MEMORY
   */
  createSession(options?: CreateSessionOptions & ExactHeadOptions): Session;
  createSession(options: CreateSessionOptions & ScreenedHeadOptions): ScreenedSession;
  createSession(options: CreateSessionOptions & HeadOptions = {}): Session | ScreenedSession {
    refuseUnknownOptions(options, ['contextLength', 'kvType', ...knownHeadOptions(options)]);
    const { config } = this.#use();
    const { contextLength = config.contextLength, kvType = 'f16' } = options;
    refuseUnlessOneOf('kvType', kvType, KV_TYPES);
    if (!(Number.isInteger(contextLength) && contextLength >= 1 && contextLength <= config.contextLength)) {
      throw new RangeError(
        `contextLength ${contextLength} is not a whole number from 1 to ${config.contextLength}, the model's own.`,
      );
    }
    return this.#create({ contextLength, kvType, topK: this.#topKOf(options) });
  }

  /**
   * A session as `session.save()` left it. Which head it had does not matter: what the cache holds is the same.
   *
   * @throws {EngineError} ENGINE_SESSION_DAMAGED for bytes that are not what was saved; ENGINE_SESSION_MISMATCH for those
   *   of another model, or of other numerics; ENGINE_NO_SCREEN as {@link Model.createSession}
   * @throws {RangeError} for a topK outside 1..config.vocabSize
   */
  restoreSession(bytes: Uint8Array, options?: ExactHeadOptions): Session;
  restoreSession(bytes: Uint8Array, options: ScreenedHeadOptions): ScreenedSession;
  restoreSession(bytes: Uint8Array, options: HeadOptions = {}): Session | ScreenedSession {
    refuseUnknownOptions(options, knownHeadOptions(options));
    const topK = this.#topKOf(options);
    const { config, lanes, digest } = this.#use();
    const { blockCount, headCountKv, headDim, vocabSize, contextLength } = config;
    const saved = decodeSession(bytes, {
      vocabSize,
      contextLength,
      cellBytes: (position, kvType) => 2 * blockCount * headCountKv * headDim * (kvType === 'f16' ? 2 : 4) * position,
    });
    if (!digest().every((byte, index) => byte === saved.model[index])) {
      throw new EngineError(
        'ENGINE_SESSION_MISMATCH',
        'These bytes are a session of another model, or of this one read in another weight layout. Load the model with which the session was saved.',
      );
    }
    if (saved.lanes !== lanes) {
      throw new EngineError(
        'ENGINE_SESSION_MISMATCH',
        `These bytes are a session with the numerics ${saved.lanes === 16 ? 'avx512' : 'avx2'}; the model was loaded with ${this.numerics}. Load it with those of the session.`,
      );
    }
    const { contextLength: savedLength, kvType } = saved;
    return this.#create({ contextLength: savedLength, kvType, topK }, saved);
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

  /** @throws as {@link Model.createSession} */
  #topKOf(options: HeadOptions): number | undefined {
    if (options.head !== 'screened') return undefined;
    const { config, weights } = this.#use();
    const { topK = defaultTopK(config) } = options;
    if (weights.screen === undefined) {
      throw new EngineError(
        'ENGINE_NO_SCREEN',
        "A screened session needs a model loaded with the option head: 'screened'.",
      );
    }
    if (!(Number.isInteger(topK) && topK >= 1 && topK <= config.vocabSize)) {
      throw new RangeError(`topK ${topK} is not a whole number from 1 to ${config.vocabSize}, the vocabulary's size.`);
    }
    return topK;
  }

  #create(settings: SessionSettings, saved?: RestoredSession): Session | ScreenedSession {
    return settings.topK === undefined
      ? this.#createOf<Float32Array>(settings, saved)
      : this.#createOf<TopLogits>(settings, saved);
  }

  /** @typeParam Row - what `settings.topK` says */
  #createOf<Row extends Logits>(settings: SessionSettings, saved?: RestoredSession): Session<Row> {
    const parts = this.#use();
    const { config, kernels, weights } = parts;
    const { screen } = weights;
    const owner: SessionOwner<Row> = {
      onDispose: (session) => void this.#sessions.delete(session),
      create: (same) => this.#createOf(same),
    };
    const head =
      screen && settings.topK !== undefined
        ? new ScreenedHead(config, kernels, weights.output, screen, settings.topK)
        : undefined;
    try {
      const session = new Session<Row>(parts, settings, owner, head, saved);
      this.#sessions.add(session);
      return session;
    } catch (error) {
      head?.free();
      throw error;
    }
  }

  #use(): SessionModel {
    if (this.#parts === undefined) throw new EngineError('ENGINE_DISPOSED', 'This model was disposed; load it again.');
    return this.#parts;
  }
}
