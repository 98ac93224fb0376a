/**
 * How a prompt is evaluated. The three are different arithmetic in bitnet.cpp, so a row is only comparable with a row
 * of the same mode (docs/numerics.md, sections 5.3 and 5.4):
 * `batch-all` is the prompt in micro-batches with logits for every position, `batch-last` the same with logits for the
 * last position only, `sequential` one token at a time.
 */
export type EvaluationMode = 'batch-all' | 'batch-last' | 'sequential';

export interface SideIdentity {
  readonly name: string;
  readonly version: string;
  readonly build?: string;
  /** The order of float sums that is reproduced: 'avx2' or 'avx512'. */
  readonly numerics?: string;
  readonly model: { readonly file: string; readonly sha256: string };
}

/** Logits (before softmax) of one position. */
export interface LogitsRow {
  readonly position: number;
  /** Length of the vocabulary. Valid during the call. */
  readonly values?: Float32Array;
  /** Lower-case hex, of the f32 little-endian bytes. */
  readonly sha256?: string;
  /** The largest logits, largest first, lowest id first among equals. */
  readonly top?: readonly (readonly [id: number, logit: number])[];
}

/** One operation's result, under the reference's own graph name. */
export interface TraceTap {
  readonly name: string;
  /** 0, 1, 2 for equal names within one step. */
  readonly occurrence: number;
  /** Number of the evaluation call of a micro-batch, from 0. In mode `sequential` it is the position. */
  readonly step: number;
  /** Outermost first. */
  readonly shape: readonly number[];
  /** ggml's operation, where the side knows it. */
  readonly op?: string;
  /** Valid during the call. */
  readonly data?: Float32Array;
  /** Lower-case hex, of the f32 little-endian bytes. */
  readonly sha256?: string;
}

/** One party of a comparison: an engine, a process that runs one, or a recording of one. */
export interface Side {
  readonly identity: SideIdentity;
  tokenize(
    text: string,
    options: { readonly parseSpecial: boolean; readonly signal?: AbortSignal },
  ): Promise<readonly number[]>;
  /** Emits one row for every position, or the last position only in mode `batch-last`. */
  evaluate(
    ids: readonly number[],
    options: { readonly mode: EvaluationMode; onLogits(row: LogitsRow): void; readonly signal?: AbortSignal },
  ): Promise<void>;
  /**
   * Greedy continuation, lowest id on ties, after the prompt evaluated in `mode`; then one token at a time.
   * `onLogits` gets the row from which each id was taken, so the first is the prompt's last row.
   */
  decode(
    ids: readonly number[],
    options: {
      readonly mode: EvaluationMode;
      readonly count: number;
      onLogits?(row: LogitsRow): void;
      readonly signal?: AbortSignal;
    },
  ): Promise<readonly number[]>;
  /** Emits every operation of the prompt's evaluation in execution order. */
  trace(
    ids: readonly number[],
    options: { readonly mode: EvaluationMode; onTap(tap: TraceTap): void; readonly signal?: AbortSignal },
  ): Promise<void>;
  /**
   * Teacher forcing: like `trace`, but what `feed` gives for an operation takes the place of its result after the tap and
   * before the next operation reads it. Absent where a side cannot do that.
   */
  replay?(
    ids: readonly number[],
    options: {
      readonly mode: EvaluationMode;
      onTap(tap: TraceTap): void;
      feed(tap: Omit<TraceTap, 'data' | 'sha256'>): Float32Array | undefined;
      readonly signal?: AbortSignal;
    },
  ): Promise<void>;
}
