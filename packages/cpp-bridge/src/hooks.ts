/**
 * What turns llama.cpp's graph of architecture `bitnet` (SiLU gate, float activations) into that of `bitnet-b1.58` as
 * bitnet.cpp computes it. Both are written over nodes of the graph while it runs.
 */
export interface GraphHooks {
  /** The gated activation becomes max(gate, 0)² · up; without it, silu(gate) · up. */
  readonly reluSquared: boolean;
  /** Every input of a ternary product is rounded to int8 by row, and scaled back. */
  readonly int8Activations: boolean;
}

export const NO_HOOKS: GraphHooks = { reluSquared: false, int8Activations: false };

/** The nodes that the ternary products read. */
const PRODUCT_INPUT = /^(?:attn_norm|attn_sub_norm|ffn_norm|ffn_sub_norm)-\d+$/;
const GATE = /^ffn_gate-\d+$/;
const UP = /^ffn_up-\d+$/;
/** The node of the gated activation; releases before `ffn_swiglu` was renamed have that name. */
const GATED = /^ffn_(?:sub_out|swiglu)-\d+$/;

/** The hooks of one run of the graph. The gate and the up projection come before their product, layer by layer. */
export class HookedGraph {
  readonly #hooks: GraphHooks;
  #gate: Float32Array | undefined;
  #up: Float32Array | undefined;

  constructor(hooks: GraphHooks) {
    this.#hooks = hooks;
  }

  /** Whether the hooks must see this node. */
  wants(name: string): boolean {
    const { reluSquared, int8Activations } = this.#hooks;
    return (
      (reluSquared && (GATE.test(name) || UP.test(name) || GATED.test(name))) ||
      (int8Activations && PRODUCT_INPUT.test(name))
    );
  }

  /** What a node is in the other graph; undefined for its own values. */
  replace(name: string): Float32Array | undefined {
    if (!this.#hooks.reluSquared || !GATED.test(name)) return undefined;
    const [gate, up] = [this.#gate, this.#up];
    if (gate === undefined || up === undefined || gate.length !== up.length) {
      throw new Error(`${name} was computed without a gate and an up projection of one size before it.`);
    }
    this.#gate = this.#up = undefined;
    return reluSquaredGate(gate, up);
  }

  /** What the operations after a node read in its place; undefined for its own values. */
  passOn(name: string, values: Float32Array, rowLength: number): Float32Array | undefined {
    if (GATE.test(name)) this.#gate = values;
    if (UP.test(name)) this.#up = values;
    if (!this.#hooks.int8Activations || !PRODUCT_INPUT.test(name)) return undefined;
    return roundToInt8Rows(values, rowLength);
  }
}

/** max(gate, 0)² · up, each product rounded to f32 (docs/numerics.md, section 5.1). */
export function reluSquaredGate(gate: Float32Array, up: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(gate, (value, index) => {
    // Not Math.max, which would keep a NaN too, but has -0 and 0 in an order of its own.
    const positive = value > 0 ? value : value === value ? 0 : NaN;
    return Math.fround(positive * positive) * up[index]!;
  });
}

/**
 * Rounds each row to the int8 grid of its largest magnitude and scales it back: the error of bitnet.cpp's int8
 * activations in float (docs/numerics.md, section 3).
 */
export function roundToInt8Rows(values: Float32Array, rowLength: number): Float32Array<ArrayBuffer> {
  if (!(rowLength > 0) || values.length % rowLength !== 0) {
    throw new RangeError(`${values.length} values are no rows of ${rowLength}.`);
  }
  const rounded = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += rowLength) {
    let largest = 1e-5;
    for (let index = start; index < start + rowLength; index++) largest = Math.max(largest, Math.abs(values[index]!));
    const inverseScale = Math.fround(127 / largest);
    for (let index = start; index < start + rowLength; index++) {
      const code = roundHalfToEven(Math.fround(values[index]! * inverseScale));
      rounded[index] = Math.min(127, Math.max(-128, code)) / inverseScale;
    }
  }
  return rounded;
}

function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value - Math.trunc(value)) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
