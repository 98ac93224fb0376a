import type { ReceiptCounter, ReceiptPredicate, ReceiptWeightType } from './statement.ts';
import { rowBytesOf, type ShapedLinear, traitsOf } from './weight-types.ts';

export type Count = Omit<ReceiptCounter, 'id' | 'nanoseconds'>;

/** By kernel. Refined and rescored rows of a screened head are missing: they depend on activations, too. */
export type ExpectedCounts = ReadonlyMap<string, Count>;

/** What the run says about how it was run. */
export type RunShape = Pick<ReceiptPredicate, 'model' | 'kernels' | 'head' | 'kvType'>;

export class Tally {
  readonly counts: Map<string, Count> = new Map();

  /** @param times - calls, each of which counts `one` */
  add(id: string, times: number, one: Omit<Count, 'calls'>): void {
    if (times === 0) return;
    const { calls, rows, elements, bytes } = this.counts.get(id) ?? { calls: 0, rows: 0, elements: 0, bytes: 0 };
    this.counts.set(id, {
      calls: calls + times,
      rows: rows + times * one.rows,
      elements: elements + times * one.elements,
      bytes: bytes + times * one.bytes,
    });
  }
}

/** Calls of operations in `batches` that are alike, by the kernels of a run: the table of docs/kernel-counters.md. */
export class OperationCounts {
  readonly #run: RunShape;
  readonly #batches: number;
  readonly #tally: Tally;

  constructor(run: RunShape, batches: number, tally: Tally) {
    this.#run = run;
    this.#batches = batches;
    this.#tally = tally;
  }

  /** @param times - calls in each batch */
  call(operation: string, times: number, one: Omit<Count, 'calls'>): void {
    this.#add(`${operation}_${this.#run.kernels.variant}`, times, one);
  }

  /** Of an array of `values`. */
  flat(operation: string, values: number, bytes: number, times: number): void {
    this.call(operation, times, { rows: values, elements: values, bytes: values * bytes });
  }

  norm(rows: number, width: number, times: number): void {
    this.call('rms_norm', times, { rows, elements: rows * width, bytes: rows * 8 * width + 4 * width });
  }

  /** All of the same `count` vectors, which are prepared again only for a type that wants others than the one before. */
  linears(list: readonly ShapedLinear[], count: number, times: number): void {
    let prepared: string | undefined;
    for (const { type, scale, bias, rows, columns } of list) {
      const { activations } = traitsOf(type);
      if (activations !== prepared) this.#prepare(type, count, columns, times);
      prepared = activations;
      this.#multiply(type, count, rows, columns, times);
      const values = count * rows;
      if (scale) this.flat('multiply_by', values, 8, times);
      if (bias) this.call('add_to_rows', times, { rows: count, elements: values, bytes: 8 * values + 4 * rows });
    }
  }

  /** Vectors as products with such weights want them. */
  #prepare(type: ReceiptWeightType, count: number, width: number, times: number): void {
    const rowsOf = (operation: string, bytes: number): void =>
      this.call(operation, times, { rows: count, elements: count * width, bytes: count * bytes });
    switch (traitsOf(type).activations) {
      case 'int8':
        return rowsOf(type === 'TL1' ? 'quantize_rows_tl1' : 'quantize_rows', 5 * width + 8);
      case 'Q8_0':
        return rowsOf('quantize_rows_q8_0', 5 * width + width / 8);
      case 'Q8_K':
        return rowsOf('quantize_rows_q8_k', 5 * width + (9 * width) / 64);
      case 'BF16':
        return this.flat('round_to_bf16', count * width, 8, times);
      case 'F16':
        // Several are multiplied as they are.
        return count === 1 ? this.flat('round_to_f16', width, 8, times) : undefined;
      case 'F32':
        return undefined;
    }
  }

  #multiply(type: ReceiptWeightType, count: number, rows: number, columns: number, times: number): void {
    const { kernels, model } = this.#run;
    if (type === 'TL1' && model.tl1Kernel === 'lut') {
      // Vector by vector
      const id = kernels.variant === 'relaxed' ? 'tl1_gemv_relaxed_swizzle' : 'tl1_gemv_swizzle';
      const bytes = rows * (columns / 4 + 4) + columns + 4;
      this.#add(id, times * count, { rows, elements: rows * columns, bytes });
      return;
    }
    const { activationBytes, gemv, gemm } = traitsOf(type);
    const [operation, chosen] = count === 1 ? [gemv, kernels.gemv] : [gemm, kernels.gemm];
    const id = operation === undefined ? chosen : `${operation}_${kernels.variant}`;
    const bytes = rows * (rowBytesOf(type, columns) + 4 * count) + count * activationBytes(columns);
    this.#add(id, times, { rows, elements: count * rows * columns, bytes });
  }

  #add(id: string, times: number, one: Omit<Count, 'calls'>): void {
    this.#tally.add(id, this.#batches * times, one);
  }
}
