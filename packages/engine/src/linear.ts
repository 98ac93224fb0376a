import type { Lanes, Pointer, WasmKernels } from '@bittern/kernels';
import { type ActivationType, activationsOf, rowBytesOf } from './matrix-types.ts';
import type { RunState } from './run-state.ts';
import type { TernaryType } from './tensor-needs.ts';
import type { Matrix } from './weights.ts';

/**
 * Products of matrices with rows of activations. The rows are quantized or rounded as a matrix's type wants it, once for
 * matrices of equal wants that follow each other.
 */
export class MatrixProducts {
  readonly #kernels: WasmKernels;
  readonly #state: RunState;
  readonly #lanes: Lanes;
  readonly #ternaryType: TernaryType;
  #input: Pointer = 0;
  #count = 0;
  #columns = 0;
  #isSingle = false;
  /** What the state's buffers hold of the input. */
  #prepared: ActivationType | undefined;

  constructor(kernels: WasmKernels, state: RunState, lanes: Lanes, ternaryType: TernaryType) {
    this.#kernels = kernels;
    this.#state = state;
    this.#lanes = lanes;
    this.#ternaryType = ternaryType;
  }

  /**
   * Gives the rows that products are of until the next call; they must stay as they are.
   *
   * @param input - f32 [count, columns]
   * @param isSingle - whether it is a single row to the reference, which multiplies one f32 or f16 row in another order
   *   than several; not so if these are the last of more rows
   */
  setInput(input: Pointer, count: number, columns: number, isSingle: boolean = count === 1): void {
    this.#input = input;
    this.#count = count;
    this.#columns = columns;
    this.#isSingle = isSingle;
    this.#prepared = undefined;
  }

  /** out = matrix · input, f32 [count, matrix.rows]. */
  multiply({ layout, data, rows, columns, scale }: Matrix, out: Pointer): void {
    const kernels = this.#kernels;
    const { values, scales, sums, rounded } = this.#state;
    const { scratch } = kernels;
    const count = this.#count;
    const input = this.#input;
    this.#prepare(activationsOf(layout));
    switch (layout) {
      case 'row-pairs':
        if (count === 1) kernels.i2sGemv(data, 0, rows, columns, scale, values, scales, sums, out, scratch);
        else kernels.i2sGemm(data, 0, rows, columns, scale, values, scales, sums, count, out, rows, scratch);
        break;
      case 'tl1-tiles':
        for (let row = 0; row < count; row++) {
          const [rowValues, rowScale, target] = [values + row * columns, scales + 4 * row, out + 4 * row * rows];
          kernels.tl1Gemv(data, 0, rows, columns, scale, rowValues, rowScale, target, scratch);
        }
        break;
      case 'F32':
        if (this.#isSingle) kernels.f32Gemv(data, 0, rows, columns, input, out, this.#lanes);
        else kernels.f32Gemm(data, 0, rows, columns, input, count, out, rows, this.#lanes);
        break;
      case 'F16':
        // One row is rounded to f16 first, several are not (numerics, section 5.4).
        if (this.#isSingle) kernels.f16Gemv(data, 0, rows, columns, columns, rounded, out, this.#lanes, scratch);
        else kernels.f16Gemm(data, 0, rows, columns, columns, input, columns, count, out, rows, this.#lanes, scratch);
        break;
      case 'BF16':
        kernels.bf16Gemm(data, 0, rows, columns, rounded, count, out, rows, this.#lanes);
        break;
      case 'Q8_0':
        kernels.q8_0Gemm(data, 0, rows, columns, values, scales, count, out, rows);
        break;
      case 'Q4_0':
        kernels.q4_0Gemm(data, 0, rows, columns, values, scales, count, out, rows);
        break;
      case 'Q6_K':
        kernels.q6KGemm(data, 0, rows, columns, values, scales, count, out, rows);
        break;
      case 'TQ2_0':
        kernels.tq2_0Gemm(data, 0, rows, columns, values, scales, sums, count, out, rows);
        break;
    }
  }

  #prepare(wanted: ActivationType): void {
    if (this.#prepared === wanted) return;
    this.#prepared = wanted;
    const kernels = this.#kernels;
    const { values, scales, sums, rounded } = this.#state;
    const [input, count, columns] = [this.#input, this.#count, this.#columns];
    switch (wanted) {
      case 'int8': {
        const quantize = this.#ternaryType === 'TL1' ? kernels.quantizeRowsTl1 : kernels.quantizeRows;
        quantize(input, 0, count, columns, values, scales, sums);
        break;
      }
      case 'Q8_0':
        kernels.quantizeRowsQ8_0(input, 0, count, columns, values, scales);
        break;
      case 'Q8_K':
        kernels.quantizeRowsQ8K(input, 0, count, columns, values, scales, sums);
        break;
      case 'BF16':
        kernels.roundToBf16(input, count * columns, rounded);
        break;
      case 'F16':
        if (this.#isSingle) kernels.roundToF16(input, columns, rounded);
        break;
      case 'F32':
        break;
    }
  }
}

/** out = row `row` of `matrix`, f32 [columns], exactly. */
export function widenRow(kernels: WasmKernels, { layout, data, columns }: Matrix, row: number, out: Pointer): void {
  const source = data + row * rowBytesOf(layout, columns);
  switch (layout) {
    case 'F32':
      return kernels.copyF32(source, columns, out);
    case 'F16':
      return kernels.widenF16(source, columns, out);
    case 'BF16':
      return kernels.widenBf16(source, columns, out);
    case 'Q8_0':
      return kernels.widenQ8_0(source, columns, out);
    case 'Q4_0':
      return kernels.widenQ4_0(source, columns, out);
    case 'Q6_K':
      return kernels.widenQ6K(source, columns, out);
    case 'TQ2_0':
      return kernels.widenTq2_0(source, columns, out);
    default:
      throw new TypeError(`A row of ${layout} cannot be looked up: checkModel refuses it as embedding.`);
  }
}
