import { BridgeError } from './errors.ts';
import type { GraphNodes } from './ffi/graph-node.ts';
import type { Address } from './ffi/native-library.ts';
import { type GraphHooks, HookedGraph } from './hooks.ts';
import type { ItemHeader, NodeKey, NodeValues } from './protocol.ts';

/** Bytes of nodes that may be kept while the library computes one micro-batch. */
const MAX_KEPT_BYTES = 2 ** 30;

type NodeHeader = Extract<ItemHeader, { readonly kind: 'node' }>;

export interface Watch {
  /** Names of the nodes to keep; undefined for none. */
  readonly nodes: RegExp | undefined;
  readonly overwrite: readonly NodeValues[];
}

/**
 * Sees every node of the graph as it is computed. What happens to one, in this order: the hooks put the other graph's
 * value in its place, it is kept if it is wanted, it is overwritten if that was asked, and the hooks round it for those
 * that read it. What is kept is thus always what this graph computed from the inputs that it was given.
 */
export class GraphObserver {
  readonly #graph: GraphNodes;
  readonly #hooks: GraphHooks;
  #hooked: HookedGraph;
  #watch: Watch = { nodes: undefined, overwrite: [] };
  #step = -1;
  #occurrences = new Map<string, number>();
  #overwrite = new Map<string, NodeValues>();
  #kept: { readonly header: NodeHeader; readonly values: Float32Array<ArrayBuffer> }[] = [];
  #keptBytes = 0;

  constructor(graph: GraphNodes, hooks: GraphHooks) {
    this.#graph = graph;
    this.#hooks = hooks;
    this.#hooked = new HookedGraph(hooks);
  }

  begin(watch: Watch): void {
    this.#watch = watch;
    this.#step = -1;
    this.#overwrite = new Map(watch.overwrite.map((node) => [keyOf(node), node]));
    if (this.#overwrite.size !== watch.overwrite.length) {
      throw new BridgeError('BRIDGE_UNSUPPORTED', 'A node is to be overwritten twice.');
    }
  }

  /** Before each run of the graph. */
  beginStep(): void {
    this.#step++;
    this.#occurrences = new Map();
    this.#hooked = new HookedGraph(this.#hooks);
  }

  takeNodes(): readonly { readonly header: NodeHeader; readonly values: Float32Array<ArrayBuffer> }[] {
    const kept = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    return kept;
  }

  /** @throws BridgeError BRIDGE_UNSUPPORTED, so that a misspelt name is no run without an overwritten node */
  requireAllOverwritten(): void {
    const [left] = this.#overwrite.values();
    if (left === undefined) return;
    const which = `${left.name} (occurrence ${left.occurrence}, step ${left.step})`;
    throw new BridgeError('BRIDGE_UNSUPPORTED', `The graph has no node ${which}, which was to be overwritten.`);
  }

  /** The evaluation callback. It never stops the graph: that would leave the logits of an earlier run as the result. */
  see(tensor: Address, ask: boolean): boolean {
    const name = this.#graph.name(tensor);
    const product = this.#graph.product(tensor);
    if (ask) {
      const watched = this.#watch.nodes?.test(name) === true || this.#watch.overwrite.length > 0;
      return (watched && this.#graph.isComputed(tensor)) || this.#hooked.wants({ name, rowLength: 0, product });
    }
    const shape = this.#graph.shape(tensor);
    const node = { name, rowLength: shape.at(-1)!, product };
    const occurrence = this.#occurrences.get(name) ?? 0;
    this.#occurrences.set(name, occurrence + 1);
    const key = { name, occurrence, step: this.#step };
    const own = this.#graph.read(tensor);
    let values: Float32Array = this.#hooked.replace(node, own) ?? own;
    if (this.#watch.nodes?.test(name) === true && this.#graph.isComputed(tensor))
      this.#keep(tensor, key, shape, values.slice());
    const overwrite = this.#overwrite.get(keyOf(key));
    if (overwrite !== undefined) {
      this.#overwrite.delete(keyOf(key));
      values = overwrite.values;
    }
    values = this.#hooked.passOn(node, values) ?? values;
    if (values !== own) this.#graph.write(tensor, values);
    return true;
  }

  #keep(tensor: Address, key: NodeKey, shape: readonly number[], values: Float32Array<ArrayBuffer>): void {
    this.#keptBytes += values.byteLength;
    if (!(this.#keptBytes <= MAX_KEPT_BYTES)) {
      throw new BridgeError(
        'BRIDGE_UNSUPPORTED',
        `The nodes of one micro-batch take more than ${MAX_KEPT_BYTES} bytes. Name fewer of them, or give fewer tokens.`,
      );
    }
    const header = { kind: 'node' as const, ...key, op: this.#graph.op(tensor), shape };
    this.#kept.push({ header, values });
  }
}

function keyOf({ name, occurrence, step }: NodeKey): string {
  return JSON.stringify([name, occurrence, step]);
}
