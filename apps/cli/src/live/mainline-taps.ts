import type { BackendNode } from '@bittern/cpp-bridge';
import type { Side, TraceTap } from '@bittern/crossval';

/**
 * Mainline llama.cpp computes the graph of bitnet.cpp with other names and another order (K after V), with more
 * key/value cells, and the gated activation in one operation. This gives its nodes bitnet.cpp's names, which are our
 * engine's, and tells which of ours it has no node for.
 */

/** Which graph llama.cpp has, as far as names depend on it. */
export interface MainlineGraph {
  readonly architecture: 'bitnet' | 'llama';
  /** Whether hooks make the gated activation that of ReLU². */
  readonly reluSquared: boolean;
  /** Whether weights have scales: then there is a node of the product before it, too. */
  readonly scaled: boolean;
}

/** Of a file that was translated. */
export function translatedGraph({ reluSquared }: { readonly reluSquared: boolean }): MainlineGraph {
  return { architecture: 'bitnet', reluSquared, scaled: true };
}

/** Key/value cells that bitnet.cpp and our engine look at: a multiple of this. */
const CELL_MULTIPLE = 32;

/** Operations of one layer in bitnet.cpp's order (docs/numerics.md, sections 5.1 and 11.3); without those that mainline fuses. */
const BITNET_ORDER = [
  'norm 0',
  'attn_norm 0',
  'Qcur 0',
  'Qcur 1',
  'Kcur 0',
  'Kcur 1',
  'Vcur 0',
  'kq 0',
  'kq_soft_max_ext 0',
  'kqv 0',
  'kqv_out 0',
  'norm 1',
  'attn_sub_norm 0',
  'attn_o_out 0',
  'ffn_inp 0',
  'norm 2',
  'ffn_norm 0',
  'ffn_gate 0',
  'ffn_up 0',
  'ffn_out 0',
  'ffn_sub_out 0',
  'norm 3',
  'ffn_sub_norm 0',
  'ffn_down 0',
  'l_out 0',
];
const LLAMA_ORDER = [
  'norm 0',
  'attn_norm 0',
  'Qcur 0',
  'Qcur 1',
  'Kcur 0',
  'Kcur 1',
  'Vcur 0',
  'kq 0',
  'kq_soft_max_ext 0',
  'kqv 0',
  'kqv_merged_cont 0',
  'kqv_out 0',
  'ffn_inp 0',
  'norm 1',
  'ffn_norm 0',
  'ffn_gate 0',
  'ffn_up 0',
  'ffn_gate_par 0',
  'ffn_out 0',
  'l_out 0',
];
/** Of these llama.cpp has no node: they are part of the gated activation. */
const FUSED = /^ffn_(?:silu|relu|sqr\(relu\))-\d+$/;
/** The last axis of these is the cells. */
const OVER_CELLS = /^kq(?:_soft_max_ext)?-\d+$/;

/** A node's name as bitnet.cpp has it; undefined where it has no such node. */
export function bitnetName(name: string, { architecture, reluSquared, scaled }: MainlineGraph): string | undefined {
  const isLlama = architecture === 'llama';
  const [, stem = name, layer = ''] = /^(.+?)(-\d+)$/.exec(name) ?? [];
  switch (stem) {
    case 'embd':
      return 'inp_embd';
    case 'kq_soft_max':
      return `kq_soft_max_ext${layer}`;
    case 'kqv_out':
      return `${isLlama ? 'kqv_merged_cont' : stem}${layer}`;
    case 'attn_out':
      return `${isLlama ? 'kqv_out' : 'attn_o_out'}${layer}`;
    // Products without the weight's scale; with it they have the suffix.
    case 'ffn_gate':
    case 'ffn_up':
      return scaled ? undefined : name;
    case 'ffn_gate_s':
      return `ffn_gate${layer}`;
    case 'ffn_up_s':
      return `ffn_up${layer}`;
    case 'ffn_sub_out':
      return `${reluSquared ? 'ffn_out' : stem}${layer}`;
    case 'ffn_swiglu':
      return isLlama ? `ffn_gate_par${layer}` : name;
    default:
      return name;
  }
}

/** A node as bitnet.cpp would have it. @param positions - tokens in the cache, those of this step included */
export function bitnetTap(node: BackendNode, positions: number, graph: MainlineGraph): TraceTap | undefined {
  const name = bitnetName(node.name, graph);
  if (name === undefined) return undefined;
  const { occurrence, step, op, shape, values } = node;
  if (!OVER_CELLS.test(name)) return { name, occurrence, step, op, shape, data: values };
  const cells = cellsFor(positions);
  const data = withRows(values, shape.at(-1)!, cells);
  return { name, occurrence, step, op, shape: [...shape.slice(0, -1), cells], data };
}

function cellsFor(positions: number): number {
  return Math.ceil(positions / CELL_MULTIPLE) * CELL_MULTIPLE;
}

/** Rows of another length: cut, or filled up with zeros. */
export function withRows(values: Float32Array, from: number, to: number): Float32Array<ArrayBuffer> {
  const rows = values.length / from;
  const resized = new Float32Array(rows * to);
  for (let row = 0; row < rows; row++) {
    resized.set(values.subarray(row * from, row * from + Math.min(from, to)), row * to);
  }
  return resized;
}

function isFused({ name }: TraceTap): boolean {
  return FUSED.test(name);
}

/** A side with llama.cpp's nodes, under the names and in the order of bitnet.cpp. */
export function withBitnetTaps(side: Side, trace: TraceNodes, graph: MainlineGraph): Side {
  const order = graph.architecture === 'llama' ? LLAMA_ORDER : BITNET_ORDER;
  return {
    ...side,
    async trace(ids, { mode, onTap, signal }) {
      const taps: TraceTap[] = [];
      await trace(ids, {
        mode,
        signal,
        onNode: (node) => {
          const tap = bitnetTap(node, mode === 'sequential' ? node.step + 1 : ids.length, graph);
          if (tap !== undefined) taps.push(tap);
        },
      });
      for (const tap of taps.toSorted((a, b) => a.step - b.step || rankOf(a, order) - rankOf(b, order))) onTap(tap);
    },
  };
}

type TraceNodes = (
  ids: readonly number[],
  options: {
    readonly mode: 'batch-all' | 'batch-last' | 'sequential';
    readonly onNode: (node: BackendNode) => void;
    readonly signal: AbortSignal | undefined;
  },
) => Promise<void>;

/** A side without the operations that llama.cpp has no node for. */
export function withoutFusedTaps(side: Side): Side {
  return {
    ...side,
    trace: (ids, { onTap, ...options }) =>
      side.trace(ids, {
        ...options,
        onTap: (tap) => {
          if (!isFused(tap)) onTap(tap);
        },
      }),
  };
}

function rankOf({ name, occurrence }: TraceTap, order: readonly string[]): number {
  if (name === 'inp_embd') return -1;
  const match = /^(.+)-(\d+)$/.exec(name);
  if (match === null) return Number.MAX_SAFE_INTEGER;
  const [, stem, layer] = match;
  const inLayer = order.indexOf(`${stem} ${occurrence}`);
  // A name that is not in the list stays visible, as the first of its layer: the shapes rung names it.
  return Number(layer) * order.length + inLayer;
}
