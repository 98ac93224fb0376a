import type { Lanes, WasmKernels } from '@bittern/kernels';
import { complete, type CompletionOptions, type Piece } from './complete.ts';
import { CachedTokens } from './cached-tokens.ts';
import type { ModelConfig } from './config.ts';
import type { Decoder } from './decode.ts';
import { EngineError, needsAllLogits } from './errors.ts';
import { forward, type WantedRows } from './forward.ts';
import { nextTurn } from './next-turn.ts';
import { refuseUnknownOptions, refuseUnlessOneOf } from './options.ts';
import { type KvType, MICRO_BATCH, paddedCells, RunState } from './run-state.ts';
import type { ScreenedHead } from './screened-head.ts';
import { encodeSession, type RestoredSession, type SavedSession } from './session-bytes.ts';
import type { TextCodec } from './text-codec.ts';
import type { Tl1Kernel } from './tl1.ts';
import type { Logits, TopLogits } from './top-logits.ts';
import { type FeedTap, type OnTap, StepTaps, type Tap, type TapSelection } from './trace.ts';
import type { Weights } from './weights.ts';

/** @typeParam Row - what is given for a position: all logits, or those of a {@link ScreenedSession} */
export interface EvaluateOptions<Row extends Logits = Float32Array> {
  /**
   * `last` (default): logits of the last position, as llama-cli asks for. `all`: of every position. Two numerics: the
   * reference rounds the head's input to f16 when a micro-batch wants one row (numerics, section 5.4). A screened session
   * has only the last.
   */
  readonly logits?: 'all' | 'last';
  /**
   * Where the last row is written, f32 [vocabSize]; it is the result then, and nothing of its size is allocated. Not for a
   * screened session.
   */
  readonly into?: Extract<Row, Float32Array> | undefined;
  /** Called for each row of logits in order of position; the row is valid during the call. */
  readonly onLogits?: (row: Row, position: number) => void;
  /**
   * Called for each node of the graph in execution order, as it is computed; in a screened session, all but
   * `result_output`. Costs nothing when left out.
   */
  readonly onTap?: OnTap;
  /** Globs (`*`, `?`) of the names of the nodes that `onTap` wants, such as `['l_out-*', 'result_norm']`. Default: all. */
  readonly taps?: readonly string[];
  /** With `onTap`: values that take the place of a node's result, for what follows. Asked of all nodes, whatever `taps` says. */
  readonly feedTap?: FeedTap;
  /**
   * Checked before each micro-batch, and within one of several tokens after each part of a layer, at most every few
   * milliseconds, after a turn of the event loop. A rejected call leaves the session as it was.
   */
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
  readonly tokenizer: TextCodec | undefined;
  /** 16 bytes; see `modelDigest`. */
  digest(): Uint8Array;
}

export interface SessionSettings {
  readonly contextLength: number;
  readonly kvType: KvType;
  /** How many logits an evaluation gives; undefined for all. */
  readonly topK: number | undefined;
}

/** The model's side of its sessions. */
export interface SessionOwner<Row extends Logits> {
  onDispose(session: Session<Row>): void;
  create(settings: SessionSettings): Session<Row>;
}

/** A value that is not finite, where it was first computed. */
export interface NotFinite {
  readonly tap: Pick<Tap, 'name' | 'occurrence' | 'step' | 'shape'>;
  /** The first of them in the tap's data. */
  readonly index: number;
  readonly value: number;
  /** Positions of the micro-batch: from, to. */
  readonly positions: readonly [first: number, last: number];
}

/** How long an evaluation of several tokens computes before it lets the event loop run. */
const TURN_MS = 4;

/** A session that gives the largest logits of the last position only, with the bits of the others. */
export type ScreenedSession = Session<TopLogits>;

/** One sequence of tokens with its key/value cache. */
export class Session<Row extends Logits = Float32Array> implements SessionSettings {
  readonly contextLength: number;
  readonly kvType: KvType;
  /** How many logits an evaluation gives, the largest; undefined for all. */
  readonly topK: number | undefined;
  readonly #model: SessionModel;
  readonly #owner: SessionOwner<Row>;
  readonly #screenedHead: ScreenedHead | undefined;
  readonly #state: RunState;
  readonly #tokens: CachedTokens;
  #row: Float32Array | undefined;
  #evaluating = false;
  #completing = false;
  #disposed = false;

  /**
   * Use `model.createSession()`.
   *
   * @param screenedHead - where `settings.topK` is given; the session's own
   * @param saved - what the cache holds in the beginning; default nothing
   */
  constructor(
    model: SessionModel,
    settings: SessionSettings,
    owner: SessionOwner<Row>,
    screenedHead: ScreenedHead | undefined,
    saved: RestoredSession | undefined,
  ) {
    this.contextLength = settings.contextLength;
    this.kvType = settings.kvType;
    this.topK = settings.topK;
    this.#model = model;
    this.#owner = owner;
    this.#screenedHead = screenedHead;
    this.#state = new RunState(model.config, model.kernels, settings, model.weights);
    this.#tokens = new CachedTokens(settings.contextLength);
    if (saved) {
      this.#state.writeCells(saved.ids.length, saved.cells);
      this.#tokens.restore(saved.ids, saved.steps, saved.alone);
    }
  }

  /** Number of tokens in the cache; the next token's position. */
  get position(): number {
    return this.#tokens.length;
  }

  /** Whether an evaluation runs. */
  get busy(): boolean {
    return this.#evaluating;
  }

  /** Ids of the tokens in the cache, from position `begin` on. */
  ids(begin = 0): number[] {
    this.#checkDisposed();
    return this.#tokens.slice(begin);
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
    refuseUnknownOptions(options, ['logits', 'into', 'onLogits', 'onTap', 'taps', 'feedTap', 'signal']);
    this.#check();
    const own = ids.slice(); // the caller's may change while this waits
    this.checkIds(own);
    return this.#evaluate(own, this.position, options);
  }

  /**
   * Makes `ids` what the cache holds, and gives the logits of the last one: the bits that `evaluate` gives an empty
   * session. Of what the cache holds already it keeps the longest prefix with the same bits ({@link Session.reusable}).
   *
   * @returns as {@link Session.evaluate}
   * @throws as {@link Session.evaluate}; if it is aborted, the prefix stays
   */
  async prompt(ids: readonly number[], options: Omit<EvaluateOptions<Row>, 'logits'> = {}): Promise<Row> {
    refuseUnknownOptions(options, ['into', 'onLogits', 'onTap', 'taps', 'feedTap', 'signal']);
    this.#check();
    return this.#prompt(ids, options);
  }

  /**
   * How many tokens of a prompt {@link Session.prompt} would keep. Tokens that were generated, or evaluated one by one,
   * are not among them: the reference computes a prompt's attention with other roundings than a single token's (numerics,
   * section 5.3), so these are evaluated again as part of the prompt.
   */
  reusable(ids: readonly number[]): number {
    this.#checkDisposed();
    return ids.length === 0 ? 0 : this.#tokens.reusable(ids);
  }

  /**
   * Makes `prompt` what the cache holds, as {@link Session.prompt} does, and continues it. One piece for each id, the
   * last of them with `end`.
   *
   * Until it ends, or the loop over it is left, the session is its: only `fork`, `save`, `ids` and `dispose` may be called.
   *
   * @param prompt - ids, or text if the model has a tokenizer
   * @throws {EngineError} as {@link Session.evaluate}, ENGINE_NO_TOKENIZER, and ENGINE_NOT_FINITE; in a screened session
   *   ENGINE_NEEDS_ALL_LOGITS for `logprobs`, a repetition penalty, and sampling among more than `topK`
   */
  async *generate(
    prompt: string | readonly number[],
    options: CompletionOptions = {},
  ): AsyncGenerator<Piece, void, undefined> {
    this.#check();
    this.#completing = true;
    try {
      yield* complete(this.#decoder(), this.#model, prompt, options);
    } finally {
      this.#completing = false;
    }
  }

  /**
   * Forgets the tokens from `position` on.
   *
   * @throws {RangeError} for a position that is not in the cache
   */
  rewind(position: number): void {
    this.#check();
    if (!(Number.isInteger(position) && position >= 0 && position <= this.position))
      throw new RangeError(`Cannot rewind to position ${position}: the cache holds ${this.position} tokens.`);
    this.#truncate(position);
  }

  /** Empties the cache: the next id is at position 0. */
  reset(): void {
    this.rewind(0);
  }

  /**
   * A second session with the same tokens, which costs a copy of the cache; from then on the two have nothing to do with
   * each other.
   */
  fork(): Session<Row> {
    this.#checkStill();
    const fork = this.#owner.create(this);
    fork.#state.copyCells(this.#state, this.position);
    fork.#tokens.copy(this.#tokens);
    return fork;
  }

  /**
   * The session as bytes, for `model.restoreSession`: tokens, keys and values, and which model, numerics and weight layout
   * they are of.
   */
  save(): Uint8Array<ArrayBuffer> {
    this.#checkStill();
    const { lanes } = this.#model;
    const [ids, steps, alone] = this.#tokens.arrays();
    const { contextLength, kvType } = this;
    const saved: SavedSession = { lanes, kvType, contextLength, model: this.#model.digest(), ids, steps, alone };
    return encodeSession(saved, this.#state.cellBytes(this.position), (out) =>
      this.#state.readCells(this.position, out),
    );
  }

  /**
   * Evaluates again what the cache holds, in the same micro-batches, and looks for the first value that is not finite.
   *
   * @returns undefined if all are finite
   */
  async firstNotFinite(): Promise<NotFinite | undefined> {
    this.#check();
    return this.#firstNotFinite();
  }

  /**
   * Frees the session's memory. Idempotent; any other use afterwards is an error.
   *
   * @throws {EngineError} ENGINE_BUSY while an evaluation runs: await it first
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#checkStill();
    this.#disposed = true;
    this.#state.free();
    this.#screenedHead?.free();
    this.#owner.onDispose(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * What {@link Session.evaluate} checks of its ids, before anything is evaluated.
   *
   * @throws {RangeError} for no ids or one outside the vocabulary
   * @throws {EngineError} ENGINE_CONTEXT_FULL
   */
  checkIds(ids: readonly number[]): void {
    this.#checkVocabulary(ids);
    const free = this.contextLength - this.position;
    if (ids.length > free) throw this.#contextFull(ids.length, this.position);
  }

  #checkVocabulary(ids: readonly number[]): void {
    const { vocabSize } = this.#model.config;
    if (ids.length === 0) throw new RangeError('No ids to evaluate: a prompt needs at least one token.');
    const wrong = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
    if (wrong >= 0)
      throw new RangeError(
        `Id ${ids[wrong]} at index ${wrong} is outside the vocabulary: ids go from 0 to ${vocabSize - 1}.`,
      );
  }

  #contextFull(count: number, used: number): EngineError {
    return new EngineError(
      'ENGINE_CONTEXT_FULL',
      `${count} tokens do not fit: the context holds ${this.contextLength} and ${used} are used. Shorten the prompt, or use a session with a longer context; the model was made for ${this.#model.config.contextLength}.`,
    );
  }

  /** The session for a generation that has it to itself. */
  #decoder(): Decoder<Row> {
    const position = (): number => this.position;
    return {
      contextLength: this.contextLength,
      topK: this.topK,
      get position() {
        return position();
      },
      ids: (begin) => this.#tokens.slice(begin ?? 0),
      reusable: (ids) => this.reusable(ids),
      evaluate: (ids, options = {}) => this.#evaluate(ids, this.position, options),
      prompt: (ids, options = {}) => this.#prompt(ids, options),
      firstNotFinite: () => this.#firstNotFinite(),
    };
  }

  async #prompt(ids: readonly number[], options: EvaluateOptions<Row>): Promise<Row> {
    const own = ids.slice();
    this.#checkVocabulary(own);
    this.#checkOptions(options);
    if (own.length > this.contextLength) throw this.#contextFull(own.length, 0);
    options.signal?.throwIfAborted();
    const kept = this.#tokens.reusable(own);
    this.#truncate(kept);
    return this.#evaluate(own.slice(kept), 0, options);
  }

  /** @param origin - micro-batches end at multiples of 512 from here */
  async #evaluate(ids: readonly number[], origin: number, options: EvaluateOptions<Row>): Promise<Row> {
    const { logits = 'last', onTap, taps: patterns = ['*'], feedTap: feed, signal } = options;
    this.#checkDisposed(); // a generation may have been left behind
    this.#checkOptions(options);
    signal?.throwIfAborted();
    const before = this.position;
    const end = before + ids.length;
    let last: Row | undefined;
    this.#evaluating = true;
    try {
      while (this.position < end) {
        await nextTurn();
        signal?.throwIfAborted();
        const from = this.position;
        const to = Math.min(end, from + MICRO_BATCH - ((from - origin) % MICRO_BATCH));
        const wanted = logits === 'all' ? 'all' : to === end ? 'last' : 'none';
        const onRow = (row: Logits, position: number): void => {
          last = this.#takeRow(row, position, position === end - 1, options);
        };
        const selection = onTap && { onTap, patterns, feed };
        await this.#run(ids.slice(from - before, to - before), wanted, this.#screenedHead, selection, onRow, signal);
      }
    } catch (error) {
      this.#state.clearCells(before, end);
      this.#tokens.truncate(before);
      throw error;
    } finally {
      this.#evaluating = false;
    }
    return last!;
  }

  /** What the caller gets of a row that the head gave. Only the last position's is the caller's to keep. */
  #takeRow(row: Logits, position: number, isLast: boolean, { into, onLogits }: EvaluateOptions<Row>): Row | undefined {
    if ('ids' in row) {
      const top = row as Row; // Row is what this session's head gives
      onLogits?.(top, position);
      return top;
    }
    // Not the view itself: nobody can write to the kernels' memory through it, or outlive it.
    if (onLogits) {
      this.#row ??= new Float32Array(row.length);
      this.#row.set(row);
      onLogits(this.#row as Row, position);
    }
    if (!isLast) return undefined;
    const last: Float32Array = into ?? new Float32Array(row.length);
    last.set(row);
    return last as Row;
  }

  /** What {@link Session.evaluate} checks of its options, before anything is evaluated. */
  #checkOptions({ logits = 'last', into, onTap, feedTap }: EvaluateOptions<Row>): void {
    if (feedTap && !onTap) throw new TypeError('feedTap needs onTap: operations are fed at their taps.');
    refuseUnlessOneOf('logits', logits, ['all', 'last']);
    const { vocabSize } = this.#model.config;
    if (this.topK !== undefined) {
      if (logits === 'all')
        throw needsAllLogits("With `logits: 'all'` each position has a row of all logits", this.topK);
      if (into !== undefined) throw needsAllLogits('`into` takes a row of all logits', this.topK);
    } else if (into !== undefined && into.length !== vocabSize) {
      throw new RangeError(`into has ${into.length} elements, and a row of logits ${vocabSize}.`);
    }
  }

  /** Evaluates one micro-batch. A single token runs through without a pause. */
  async #run(
    ids: readonly number[],
    wanted: WantedRows,
    screenedHead: ScreenedHead | undefined,
    selection: TapSelection | undefined,
    onLogits: (row: Logits, position: number) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { config, weights, kernels, lanes } = this.#model;
    const { position } = this;
    const size = {
      count: ids.length,
      width: Math.max(config.embeddingLength, config.feedForwardLength),
      scores: config.headCount * ids.length * paddedCells(position + ids.length),
      layers: config.blockCount,
    };
    const taps = selection && new StepTaps(kernels, this.#tokens.nextStep, size, selection);
    try {
      let turn = performance.now();
      const batch = { ids, position, wanted, lanes, taps, screenedHead, onLogits };
      const parts = forward(config, weights, this.#state, kernels, batch);
      while (!parts.next().done) {
        if (ids.length === 1) continue;
        kernels.flush();
        if (performance.now() - turn < TURN_MS) continue;
        await nextTurn();
        signal?.throwIfAborted();
        turn = performance.now();
      }
    } finally {
      taps?.free();
    }
    this.#tokens.append(ids);
  }

  async #firstNotFinite(): Promise<NotFinite | undefined> {
    const ids = this.#tokens.slice(0);
    const ends = this.#tokens.batchEnds();
    let found: NotFinite | undefined;
    this.#evaluating = true;
    try {
      this.#truncate(0);
      for (const end of ends) {
        const { position } = this;
        const onTap: OnTap = ({ name, occurrence, step, shape, data }) => {
          if (found) return;
          const index = data.findIndex((value) => !Number.isFinite(value));
          if (index < 0) return;
          const tap = { name, occurrence, step, shape };
          found = { tap, index, value: data[index]!, positions: [position, end - 1] };
        };
        // Once it is found the rest is evaluated without looking, so that the session is as before.
        const selection = found ? undefined : { onTap, patterns: ['*'] };
        const batch = ids.slice(position, end);
        // All that a rewind left of a micro-batch: its arithmetic is that of several tokens.
        const isRemainder = batch.length === 1 && !this.#tokens.wasAlone(position);
        // With the exact head: its logits are one of the nodes.
        await this.#run(isRemainder ? [...batch, ...batch] : batch, 'last', undefined, selection, () => {}, undefined);
        this.#truncate(end);
      }
    } finally {
      this.#evaluating = false;
    }
    return found;
  }

  #truncate(position: number): void {
    this.#state.clearCells(position, this.position);
    this.#tokens.truncate(position);
  }

  #checkDisposed(): void {
    if (this.#disposed)
      throw new EngineError(
        'ENGINE_DISPOSED',
        'This session was disposed; create a new one with model.createSession().',
      );
  }

  /** That nothing is being computed: what only reads may be called between the pieces of a generation. */
  #checkStill(): void {
    this.#checkDisposed();
    if (this.#evaluating) throw busy('evaluating');
  }

  #check(): void {
    this.#checkStill();
    if (this.#completing) throw busy('generating');
  }
}

function busy(activity: string): EngineError {
  return new EngineError(
    'ENGINE_BUSY',
    `This session is ${activity}; wait until that has ended, or use a second session.`,
  );
}
