/**
 * What turns llama.cpp's graph of architecture `bitnet` (SiLU gate, float activations) into that of `bitnet-b1.58` as
 * bitnet.cpp computes it. Both are written over nodes of the graph while it runs.
 */
export interface GraphHooks {
  /** The gated activation becomes max(gate, 0)² · up; without it, silu(gate) · up. */
  readonly reluSquared: boolean;
  /** Every ternary product reads its input as int8, rounded by row. Its weights must be F32 or F16. */
  readonly int8Activations: boolean;
  /**
   * The values of attention are rounded to f16 before they are stored: for a cache in f32, with which llama.cpp does not
   * round the probabilities to f16. bitnet.cpp does not either, with two or more tokens in a micro-batch.
   */
  readonly halfValues: boolean;
}

export const NO_HOOKS: GraphHooks = { reluSquared: false, int8Activations: false, halfValues: false };

/** The nodes that the ternary products read. */
const PRODUCT_INPUT = /^(?:attn_norm|attn_sub_norm|ffn_norm|ffn_sub_norm)-\d+$/;
/** The weights of the ternary products. */
const PRODUCT_WEIGHT = /^blk\.\d+\.(?:attn_(?:q|k|v|output)|ffn_(?:gate|up|down))\.weight$/;
/** Where the weight has a scale of its own, `ffn_gate` is the product without it and `ffn_gate_s`, after it, with it. */
const GATE = /^ffn_gate(?:_s)?-\d+$/;
const UP = /^ffn_up(?:_s)?-\d+$/;
/** The node of the gated activation; releases before `ffn_swiglu` was renamed have that name. */
const GATED = /^ffn_(?:sub_out|swiglu)-\d+$/;

const VALUES = /^Vcur-\d+$/;

/** A node as the hooks see it. */
export interface HookedNode {
  readonly name: string;
  readonly rowLength: number;
  /** Names of weight and input, for a product of matrices. */
  readonly product: { readonly weight: string; readonly input: string } | undefined;
}

/**
 * The hooks of one run of the graph.
 *
 * Int8 activations are exact, not emulated in float: a product reads the integers themselves, its sums of weights -1, 0
 * and 1 are integers below 2^24 in f32 or f16 in any order, and the activation's scale divides them afterwards, as in
 * bitnet.cpp (docs/numerics.md, section 3). The weight's scale is the graph's own next operation.
 */
export class HookedGraph {
  readonly #hooks: GraphHooks;
  /** By name of the product's input, one for each row. */
  readonly #inverseScales = new Map<string, Float32Array>();
  #gate: Float32Array | undefined;
  #up: Float32Array | undefined;

  constructor(hooks: GraphHooks) {
    this.#hooks = hooks;
  }

  /** Whether the hooks must see this node. */
  wants({ name, product }: HookedNode): boolean {
    const { reluSquared, int8Activations, halfValues } = this.#hooks;
    return (
      (halfValues && VALUES.test(name)) ||
      (reluSquared && (GATE.test(name) || UP.test(name) || GATED.test(name))) ||
      (int8Activations && (PRODUCT_INPUT.test(name) || (product !== undefined && PRODUCT_WEIGHT.test(product.weight))))
    );
  }

  /** What a node is in the other graph; undefined for its own values. */
  replace({ name, rowLength, product }: HookedNode, values: Float32Array): Float32Array | undefined {
    if (this.#hooks.int8Activations && product !== undefined && PRODUCT_WEIGHT.test(product.weight)) {
      const inverseScales = this.#inverseScales.get(product.input);
      if (inverseScales === undefined || inverseScales.length !== values.length / rowLength) {
        throw new Error(
          `The product with ${product.weight} reads ${product.input}, of which there are no int8 values.`,
        );
      }
      return values.map((sum, index) => sum / inverseScales[Math.floor(index / rowLength)]!);
    }
    if (!this.#hooks.reluSquared || !GATED.test(name)) return undefined;
    const [gate, up] = [this.#gate, this.#up];
    if (gate === undefined || up === undefined || gate.length !== up.length) {
      throw new Error(`${name} was computed without a gate and an up projection of one size before it.`);
    }
    this.#gate = this.#up = undefined;
    return reluSquaredGate(gate, up);
  }

  /** What the operations after a node read in its place; undefined for its own values. */
  passOn({ name, rowLength }: HookedNode, values: Float32Array): Float32Array | undefined {
    if (GATE.test(name)) this.#gate = values;
    if (UP.test(name)) this.#up = values;
    if (this.#hooks.halfValues && VALUES.test(name)) return roundToHalf(values);
    if (!this.#hooks.int8Activations || !PRODUCT_INPUT.test(name)) return undefined;
    const { codes, inverseScales } = quantizeRows(values, rowLength);
    this.#inverseScales.set(name, inverseScales);
    return codes;
  }
}

/** max(gate, 0)² · up, each product rounded to f32 (docs/numerics.md, section 5.1). */
export function reluSquaredGate(gate: Float32Array, up: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(gate, (value, index) => {
    const positive = Number.isNaN(value) || value > 0 ? value : 0;
    return Math.fround(positive * positive) * up[index]!;
  });
}

/**
 * Rounds each row to int8 by its largest magnitude, ties to even (docs/numerics.md, section 3).
 *
 * @returns the integers, and for each row what it was multiplied by
 */
export function quantizeRows(
  values: Float32Array,
  rowLength: number,
): { readonly codes: Float32Array<ArrayBuffer>; readonly inverseScales: Float32Array<ArrayBuffer> } {
  if (!(rowLength > 0) || values.length % rowLength !== 0) {
    throw new RangeError(`${values.length} values are no rows of ${rowLength}.`);
  }
  const codes = new Float32Array(values.length);
  const inverseScales = new Float32Array(values.length / rowLength);
  for (const row of inverseScales.keys()) {
    const start = row * rowLength;
    let largest = 1e-5;
    for (let index = start; index < start + rowLength; index++) largest = Math.max(largest, Math.abs(values[index]!));
    const inverseScale = Math.fround(127 / largest);
    inverseScales[row] = inverseScale;
    for (let index = start; index < start + rowLength; index++) {
      codes[index] = Math.min(127, Math.max(-128, roundHalfToEven(Math.fround(values[index]! * inverseScale))));
    }
  }
  return { codes, inverseScales };
}

function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value - Math.trunc(value)) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Each value rounded to the nearest of IEEE binary16, ties to even. */
export function roundToHalf(values: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(values, (value) => {
    const magnitude = Math.abs(value);
    // Halfway between the largest value, 65504, and the one that would follow.
    if (magnitude >= 65_520) return value * Infinity;
    // 11 bits of precision, and no step below 2^-24. NaN stays NaN: no comparison above or below holds for it.
    const step = 2 ** Math.max(Math.floor(Math.log2(magnitude)) - 10, -24);
    return magnitude > 0 ? roundHalfToEven(value / step) * step : value;
  });
}
