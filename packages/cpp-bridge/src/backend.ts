import type { GraphHooks } from './hooks.ts';
import type { ApiGeneration, LibraryBackend } from './library.ts';
import type { CacheType, ContextSettings, EvaluationMode, LibraryVersion, NodeKey, NodeValues } from './protocol.ts';

export interface LibraryFile {
  readonly path: string;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Who computed: everything that decides the bits of a result. */
export interface BackendInfo {
  readonly backend: LibraryBackend;
  readonly origin: string;
  readonly generation: ApiGeneration;
  readonly version: LibraryVersion;
  /** The shared libraries that were loaded, llama first. */
  readonly files: readonly LibraryFile[];
  /** Name of the CPU backend where it is a file of its own, for example `haswell`. */
  readonly cpuVariant: string | null;
  /** The order of float sums of a bitnet.cpp, from its system info; null for another. */
  readonly numerics: 'avx2' | 'avx512' | null;
  readonly context: ContextSettings;
  readonly hooks: GraphHooks;
  /** Largest relative error of the known-answer model's logits. */
  readonly knownAnswerError: number;
  readonly model: LibraryFile & { readonly vocabSize: number };
}

export interface BackendCapabilities {
  /** `general.architecture` of the models that this bridge was made for. */
  readonly architectures: readonly string[];
  /** GGUF types of ternary weights that the library computes. */
  readonly ternaryTypes: readonly string[];
  readonly cacheTypes: readonly CacheType[];
  readonly hooks: boolean;
}

/** Logits (before softmax) of one position. */
export interface BackendRow {
  readonly position: number;
  /** Length of the vocabulary; the receiver's to keep. */
  readonly values: Float32Array<ArrayBuffer>;
}

/** One operation's result. */
export interface BackendNode extends NodeKey {
  /** ggml's operation, for example `MUL_MAT`. */
  readonly op: string;
  /** Outermost first; leading ones are left out down to two dimensions. */
  readonly shape: readonly number[];
  /** The receiver's to keep. */
  readonly values: Float32Array<ArrayBuffer>;
}

export interface SignalOption {
  readonly signal?: AbortSignal | undefined;
}

export interface TraceOptions extends SignalOption {
  readonly mode: EvaluationMode;
  readonly onNode: (node: BackendNode) => void;
  /** Only nodes with such names; flags are not regarded. Default: all that compute something and have a name. */
  readonly nodes?: RegExp;
  /**
   * Values that later operations read in place of a node's own; the trace still has the node's own. With every node's
   * input given, each operation is compared by itself.
   */
  readonly overwrite?: readonly NodeValues[];
}

/**
 * A model in a C++ reference, in a process of its own. Calls are answered one after the other.
 *
 * Arrays are handed out as they arrive: what was handed out before a rejection is no result. Every method throws
 * `BridgeError`, or rejects with `signal.reason`, after which the process is gone.
 */
export interface Backend extends AsyncDisposable {
  readonly info: BackendInfo;
  readonly capabilities: BackendCapabilities;
  /** The library's own tokenizer, with the special tokens that the model adds around a text. */
  tokenize(text: string, options: SignalOption & { readonly parseSpecial: boolean }): Promise<readonly number[]>;
  /** A row for every position, or for the last one only in mode `batch-last`. */
  evaluate(
    ids: readonly number[],
    options: SignalOption & { readonly mode: EvaluationMode; readonly onLogits: (row: BackendRow) => void },
  ): Promise<void>;
  /** Greedy continuation, lowest id on ties; `onLogits` gets the row from which each id was taken. */
  decode(
    ids: readonly number[],
    options: SignalOption & {
      readonly mode: EvaluationMode;
      readonly count: number;
      readonly onLogits?: (row: BackendRow) => void;
    },
  ): Promise<readonly number[]>;
  /** Nodes of the prompt's evaluation in the order in which they were computed. */
  trace(ids: readonly number[], options: TraceOptions): Promise<void>;
  dispose(): Promise<void>;
}
