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

/** Which nodes are tapped, and who receives them. */
export interface TapSelection {
  readonly onTap: OnTap;
  /** Globs (`*`, `?`) of names; one that fits is enough. */
  readonly patterns: readonly string[];
}

/**
 * The taps of one micro-batch: gives them their occurrence numbers, and holds the buffers for values that are
 * computed only when somebody looks.
 */
export class StepTaps {
  readonly normalized: Pointer; // f32 [count, width]: a norm before its weight
  readonly scores: Pointer; // f32 [heads, count, cells], or 0
  readonly probabilities: Pointer; // f32 [heads, count, cells], or 0
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
    this.scores = wantsScores ? this.squared + rowBytes : 0;
    this.probabilities = wantsScores ? this.scores + scoreBytes : 0;
  }

  emit(name: string, shape: readonly number[], values: Pointer | Float32Array): void {
    const occurrence = this.#seen.get(name) ?? 0;
    this.#seen.set(name, occurrence + 1);
    if (!this.#wants(name)) return;
    const leadingOnes = shape.findIndex((length) => length !== 1);
    const dropped = Math.min(leadingOnes < 0 ? shape.length : leadingOnes, shape.length - 2);
    const count = shape.reduce((product, length) => product * length, 1);
    const data = typeof values === 'number' ? this.#read(values, count) : values;
    this.#selection.onTap({ name, occurrence, step: this.#step, shape: shape.slice(dropped), data });
  }

  /** Values [count, heads, headDim] as the reference's node has them: [heads, count, headDim]. */
  emitByHead(name: string, count: number, heads: number, headDim: number, values: Pointer): void {
    if (!this.#wants(name)) return this.emit(name, [], 0);
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

  #read(values: Pointer, count: number): Float32Array {
    this.#kernels.flush();
    return this.#kernels.memory.f32(values, count).slice();
  }
}
