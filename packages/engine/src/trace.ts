import type { Pointer, WasmKernels } from '@bittern/kernels';
import { matchesGlob } from './glob.ts';

/** One node of the graph as it was computed: where a trace taps it. */
export interface Tap {
  /** The reference's name of the graph node, such as `attn_norm-0` or `result_output` (numerics, section 5.1). */
  readonly name: string;
  /** 0, 1, 2 … among equal names within one step: `Qcur-0` is the matrix product, then the rotated one. */
  readonly occurrence: number;
  /** Number of the micro-batch since the session began or was reset. */
  readonly step: number;
  /** Outermost first; leading ones are left out down to two dimensions. */
  readonly shape: readonly number[];
  /** The receiver's to keep. */
  readonly data: Float32Array;
}

export type OnTap = (tap: Tap) => void;

/**
 * Teacher forcing: the values that take the place of an operation's result after its tap, before the next operation reads
 * it; undefined leaves it. Of as many values as the tap's.
 */
export type FeedTap = (tap: Omit<Tap, 'data'>) => Float32Array | undefined;

/** Which nodes are tapped, and who receives them. */
export interface TapSelection {
  readonly onTap: OnTap;
  /** Globs (`*`, `?`) of names; one that fits is enough. */
  readonly patterns: readonly string[];
  /** Also asked of the nodes that no pattern fits. */
  readonly feed?: FeedTap | undefined;
}

/** What is written there is lost: the kernels take 0 for nothing. */
const NOT_KEPT: Pointer = 0;

/**
 * The taps of one micro-batch: gives them their occurrence numbers, and holds the buffers for values that are
 * computed only when somebody looks.
 */
export class StepTaps {
  readonly normalized: Pointer; // f32 [count, width]: a norm before its weight
  readonly scores: Pointer; // f32 [heads, count, cells], or NOT_KEPT
  readonly probabilities: Pointer; // f32 [heads, count, cells], or NOT_KEPT
  readonly activated: Pointer; // f32 [count, width]
  readonly squared: Pointer; // f32 [count, width]
  readonly #kernels: WasmKernels;
  readonly #step: number;
  readonly #selection: TapSelection;
  readonly #seen = new Map<string, number>();
  readonly #buffers: Pointer;

  /**
   * @param size.count - rows of the micro-batch
   * @param size.width - the widest row that is normalized or activated
   * @param size.scores - heads * count * cells
   * @param size.layers - of the model
   */
  constructor(
    kernels: WasmKernels,
    step: number,
    size: { count: number; width: number; scores: number; layers: number },
    selection: TapSelection,
  ) {
    this.#kernels = kernels;
    this.#step = step;
    this.#selection = selection;
    const rowBytes = 4 * size.count * size.width;
    // The largest of all: not computed where nobody looks.
    const wantsScores = Array.from({ length: size.layers }, (_, layer) => layer).some(
      (layer) => this.#wants(`kq-${layer}`) || this.#wants(`kq_soft_max_ext-${layer}`),
    );
    const scoreBytes = wantsScores ? 4 * size.scores : 0;
    this.#buffers = kernels.memory.allocate(3 * rowBytes + 2 * scoreBytes);
    this.normalized = this.#buffers;
    this.activated = this.normalized + rowBytes;
    this.squared = this.activated + rowBytes;
    this.scores = wantsScores ? this.squared + rowBytes : NOT_KEPT;
    this.probabilities = wantsScores ? this.scores + scoreBytes : NOT_KEPT;
  }

  emit(name: string, shape: readonly number[], values: Pointer | Float32Array): void {
    const place = this.#place(name, shape);
    if (this.#wants(name)) {
      const data = typeof values === 'number' ? this.#read(values, countOf(shape)) : values;
      this.#selection.onTap({ ...place, data });
    }
    // What nobody looks at is fed all the same: the next operation reads it.
    if (typeof values === 'number') this.#feedInto(values, place, countOf(shape));
  }

  /**
   * The values of a node whose tap comes later, after an operation that reads it: they are fed now.
   *
   * @returns what to emit under the same name
   */
  hold(name: string, shape: readonly number[], values: Pointer): Pointer | Float32Array {
    if (this.#selection.feed === undefined) return values;
    const data = this.#read(values, countOf(shape));
    const occurrence = this.#seen.get(name) ?? 0;
    const place = { name, occurrence, step: this.#step, shape: withoutLeadingOnes(shape) };
    this.#feedInto(values, place, data.length);
    return data;
  }

  /** Values [count, heads, headDim] as the reference's node has them: [heads, count, headDim]. */
  emitByHead(name: string, count: number, heads: number, headDim: number, values: Pointer): void {
    if (!this.#wants(name)) return this.emit(name, [], NOT_KEPT);
    const source = this.#read(values, count * heads * headDim);
    const byHead = new Float32Array(source.length);
    for (let head = 0; head < heads; head++) {
      for (let row = 0; row < count; row++) {
        const from = (row * heads + head) * headDim;
        byHead.set(source.subarray(from, from + headDim), (head * count + row) * headDim);
      }
    }
    this.emit(name, [heads, count, headDim], byHead);
  }

  free(): void {
    this.#kernels.memory.free(this.#buffers);
  }

  #wants(name: string): boolean {
    return this.#selection.patterns.some((pattern) => matchesGlob(pattern, name));
  }

  #place(name: string, shape: readonly number[]): Omit<Tap, 'data'> {
    const occurrence = this.#seen.get(name) ?? 0;
    this.#seen.set(name, occurrence + 1);
    return { name, occurrence, step: this.#step, shape: withoutLeadingOnes(shape) };
  }

  #feedInto(pointer: Pointer, place: Omit<Tap, 'data'>, length: number): void {
    const { feed } = this.#selection;
    if (feed === undefined || pointer === NOT_KEPT) return;
    const fed = feed(place);
    if (fed === undefined) return;
    if (fed.length !== length) {
      throw new RangeError(`${place.name} was fed ${fed.length} values; it has ${length}.`);
    }
    this.#kernels.flush();
    this.#kernels.memory.f32(pointer, length).set(fed);
  }

  #read(values: Pointer, count: number): Float32Array {
    this.#kernels.flush();
    return this.#kernels.memory.f32(values, count).slice();
  }
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Down to two dimensions. */
function withoutLeadingOnes(shape: readonly number[]): readonly number[] {
  const leadingOnes = shape.findIndex((length) => length !== 1);
  return shape.slice(Math.min(leadingOnes < 0 ? shape.length : leadingOnes, shape.length - 2));
}
