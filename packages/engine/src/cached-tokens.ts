import { MICRO_BATCH } from './run-state.ts';

/**
 * The tokens whose keys and values a cache holds, and how each came there.
 *
 * A cell's bits depend on the ids up to its own, and for each of them on one more thing: whether it was evaluated alone
 * or among others (numerics, section 5.3: for a micro-batch of one token attention rounds its probabilities to f16, and
 * products of F16 and F32 matrices have another order). They do not depend on how many others: rows of a micro-batch do
 * not meet but in attention, where a cell that a row cannot see adds a product with 0 to its sums, and products of all
 * types have the same bits for each row of two and more. So two caches whose ids and "alone" are equal hold equal bits.
 */
export class CachedTokens {
  readonly #ids: Int32Array;
  /** By position: number of the micro-batch. */
  readonly #steps: Int32Array;
  /** By position: 1 if its micro-batch had no other token. */
  readonly #alone: Uint8Array;
  #length = 0;

  /** @param capacity - the context length */
  constructor(capacity: number) {
    this.#ids = new Int32Array(capacity);
    this.#steps = new Int32Array(capacity);
    this.#alone = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Number of the next micro-batch. */
  get nextStep(): number {
    return this.#length === 0 ? 0 : this.#steps[this.#length - 1]! + 1;
  }

  /** Copies of ids. */
  slice(begin: number, end: number = this.#length): number[] {
    return Array.from(this.#ids.subarray(begin, Math.min(end, this.#length)));
  }

  /** Whether the token at `position`, which may have been truncated, was evaluated alone. */
  wasAlone(position: number): boolean {
    return this.#alone[position] === 1;
  }

  /** Appends one micro-batch. */
  append(ids: readonly number[]): void {
    const step = this.nextStep;
    this.#ids.set(ids, this.#length);
    this.#steps.fill(step, this.#length, this.#length + ids.length);
    this.#alone.fill(ids.length === 1 ? 1 : 0, this.#length, this.#length + ids.length);
    this.#length += ids.length;
  }

  truncate(length: number): void {
    this.#length = length;
  }

  /** Takes over all of another's tokens. */
  copy(other: CachedTokens): void {
    this.restore(...other.arrays());
  }

  /** Ids, steps and whether alone, by position; views. */
  arrays(): [ids: Int32Array, steps: Int32Array, alone: Uint8Array] {
    const end = this.#length;
    return [this.#ids.subarray(0, end), this.#steps.subarray(0, end), this.#alone.subarray(0, end)];
  }

  /** The inverse of {@link CachedTokens.arrays}. */
  restore(ids: Int32Array, steps: Int32Array, alone: Uint8Array): void {
    this.#ids.set(ids);
    this.#steps.set(steps);
    this.#alone.set(alone);
    this.#length = ids.length;
  }

  /** Ends of the micro-batches of which the cache holds tokens, in order. */
  batchEnds(): number[] {
    const ends: number[] = [];
    for (let position = 1; position <= this.#length; position++) {
      if (position === this.#length || this.#steps[position] !== this.#steps[position - 1]) ends.push(position);
    }
    return ends;
  }

  /**
   * How many tokens of a prompt need no evaluation, because their cells have the bits that evaluating it from an empty
   * cache in micro-batches of 512 would give. At least the last token is left, whose logits are wanted; and two where one
   * would be evaluated alone that is not alone in the prompt.
   */
  reusable(prompt: readonly number[]): number {
    let count = 0;
    while (count < this.#length && count < prompt.length - 1) {
      // Before its last token none of a prompt is alone.
      if (this.#ids[count] !== prompt[count] || this.#alone[count] !== 0) break;
      count += 1;
    }
    const inBatch = count % MICRO_BATCH;
    const left = Math.min(prompt.length - count, MICRO_BATCH - inBatch);
    return left === 1 && inBatch > 0 ? count - 1 : count;
  }
}
