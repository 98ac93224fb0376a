import type { Lanes, WasmKernels } from '@bittern/kernels';
import type { ModelConfig } from './config.ts';
import { EngineError } from './errors.ts';
import { forward, type WantedRows } from './forward.ts';
import { ScreenedHead } from './screened-head.ts';
import type { Logits, TopLogits } from './top-logits.ts';
import { MICRO_BATCH, paddedCells, RunState } from './run-state.ts';
import { refuseUnknownOptions, refuseUnlessOneOf } from './options.ts';
import type { Tl1Kernel } from './tl1.ts';
import { type OnTap, StepTaps } from './trace.ts';
import type { Weights } from './weights.ts';

/** @typeParam Row - what is given for a position: all logits, or those of a {@link ScreenedSession} */
export interface EvaluateOptions<Row extends Logits = Float32Array> {
  /**
   * `last` (default): logits of the last position, as llama-cli asks for. `all`: of every position. Two numerics: the
   * reference rounds the head's input to f16 when a micro-batch wants one row (numerics, section 5.4).
   */
  readonly logits?: 'all' | 'last';
  /** Called for each row of logits in order of position; the row is the caller's to keep. */
  readonly onLogits?: (row: Row, position: number) => void;
  /**
   * Called for each node of the graph in execution order; in a screened session, all but `result_output`. Costs nothing
   * when left out.
   */
  readonly onTap?: OnTap;
  /** Checked before each micro-batch, after a turn of the event loop; a rejected call leaves the session as it was. */
  readonly signal?: AbortSignal | undefined;
}

/** What a session runs on; belongs to the model. */
export interface SessionModel {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly kernels: WasmKernels;
  readonly lanes: Lanes;
  /** Undefined where the weights are not TL1. */
  readonly tl1Kernel: Tl1Kernel | undefined;
}

/** A session that gives the largest logits of the last position only, with the bits of the others. */
export type ScreenedSession = Session<TopLogits>;

/** One sequence of tokens with its key/value cache. */
export class Session<Row extends Logits = Float32Array> {
  readonly contextLength: number;
  readonly #model: SessionModel;
  readonly #onDispose: (session: Session<Row>) => void;
  readonly #state: RunState;
  readonly #screenedHead: ScreenedHead | undefined;
  #position = 0;
  #step = 0;
  #busy = false;
  #disposed = false;

  /** Use `model.createSession()`. */
  constructor(
    model: SessionModel,
    contextLength: number,
    onDispose: (session: Session<Row>) => void,
    screenedHead?: ScreenedHead,
  ) {
    this.contextLength = contextLength;
    this.#model = model;
    this.#onDispose = onDispose;
    this.#screenedHead = screenedHead;
    this.#state = new RunState(model.config, model.kernels, contextLength, model.weights);
  }

  /** Number of tokens in the cache; the next token's position. */
  get position(): number {
    return this.#position;
  }

  /**
   * Evaluates ids after those already in the cache, in micro-batches of 512 as the reference does.
   *
   * @param ids - at least one, each in 0..vocabSize-1
   * @returns logits of the last position, f32 [vocabSize] or the largest, the caller's to keep
   * @throws {EngineError} ENGINE_CONTEXT_FULL (nothing is evaluated then), ENGINE_BUSY, ENGINE_DISPOSED,
   *   ENGINE_NEEDS_ALL_LOGITS
   * @throws {RangeError} for no ids or one outside the vocabulary
   */
  async evaluate(ids: readonly number[], options: EvaluateOptions<Row> = {}): Promise<Row> {
    const { logits = 'last', onLogits, onTap, signal } = options;
    refuseUnknownOptions(options, ['logits', 'onLogits', 'onTap', 'signal']);
    refuseUnlessOneOf('logits', logits, ['all', 'last']);
    if (logits === 'all' && this.#screenedHead) {
      throw new EngineError(
        'ENGINE_NEEDS_ALL_LOGITS',
        'A screened session gives the largest logits of the last position; for those of all positions use one with the exact head.',
      );
    }
    this.#check();
    const own = ids.slice(); // the caller's may change while this waits
    this.checkIds(own);
    signal?.throwIfAborted();
    const before = { position: this.#position, step: this.#step };
    let last: Row | undefined;
    this.#busy = true;
    try {
      for (let from = 0; from < own.length; from += MICRO_BATCH) {
        await nextTurn();
        signal?.throwIfAborted();
        const piece = own.slice(from, from + MICRO_BATCH);
        const isLast = from + piece.length === own.length;
        const wanted = logits === 'all' ? 'all' : isLast ? 'last' : 'none';
        this.#run(piece, wanted, onTap, (row, position) => {
          last = row;
          onLogits?.(row, position);
        });
      }
    } catch (error) {
      this.#rewind(before.position, before.step);
      throw error;
    } finally {
      this.#busy = false;
    }
    return last!;
  }

  /** Whether an evaluation runs. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Empties the cache: the next id is at position 0. */
  reset(): void {
    this.#check();
    this.#rewind(0, 0);
  }

  /**
   * Frees the session's memory. Idempotent; any other use afterwards is an error.
   *
   * @throws {EngineError} ENGINE_BUSY while an evaluation runs: await it first
   */
  dispose(): void {
    if (this.#disposed) return;
    if (this.#busy) throw busy();
    this.#disposed = true;
    this.#state.free();
    this.#screenedHead?.free();
    this.#onDispose(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #run(
    ids: readonly number[],
    wanted: WantedRows,
    onTap: OnTap | undefined,
    onRow: (row: Row, position: number) => void,
  ): void {
    const { config, weights, kernels, lanes } = this.#model;
    const position = this.#position;
    const taps =
      onTap &&
      new StepTaps(
        kernels,
        this.#step,
        {
          count: ids.length,
          width: Math.max(config.embeddingLength, config.feedForwardLength),
          scores: config.headCount * ids.length * paddedCells(position + ids.length),
        },
        onTap,
      );
    try {
      const onLogits = onRow as (row: Logits, position: number) => void; // Row is what this session's head gives
      const screenedHead = this.#screenedHead;
      forward(config, weights, this.#state, kernels, { ids, position, wanted, lanes, taps, screenedHead, onLogits });
    } finally {
      taps?.free();
    }
    this.#position += ids.length;
    this.#step += 1;
  }

  #rewind(position: number, step: number): void {
    this.#state.clearCells(position);
    this.#position = position;
    this.#step = step;
  }

  #check(): void {
    if (this.#disposed)
      throw new EngineError(
        'ENGINE_DISPOSED',
        'This session was disposed; create a new one with model.createSession().',
      );
    if (this.#busy) throw busy();
  }

  /**
   * What {@link Session.evaluate} checks of its ids, before anything is evaluated.
   *
   * @throws {RangeError} for no ids or one outside the vocabulary
   * @throws {EngineError} ENGINE_CONTEXT_FULL
   */
  checkIds(ids: readonly number[]): void {
    const { vocabSize } = this.#model.config;
    if (ids.length === 0) throw new RangeError('No ids to evaluate: a prompt needs at least one token.');
    const wrong = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
    if (wrong >= 0)
      throw new RangeError(
        `Id ${ids[wrong]} at index ${wrong} is outside the vocabulary: ids go from 0 to ${vocabSize - 1}.`,
      );
    const free = this.contextLength - this.#position;
    if (ids.length > free) {
      throw new EngineError(
        'ENGINE_CONTEXT_FULL',
        `${ids.length} tokens do not fit: the context holds ${this.contextLength} and ${this.#position} are used. Shorten the prompt, or use a session with a longer context; the model was made for ${this.#model.config.contextLength}.`,
      );
    }
  }
}

function busy(): EngineError {
  return new EngineError('ENGINE_BUSY', 'This session is evaluating; wait for that call, or use a second session.');
}

/** Lets the event loop run once: an abort can arrive, a page can repaint. */
function nextTurn(): Promise<void> {
  if (typeof setImmediate === 'function') return new Promise((resolve) => void setImmediate(resolve));
  // Browsers delay nested timers by 4 ms; messages are not delayed.
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener('message', () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(undefined);
  });
}
