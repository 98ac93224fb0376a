import type { Backend, BackendNode, NodeValues } from '@bittern/cpp-bridge';
import type { Side, TraceTap } from '@bittern/crossval';
import { bitnetName, bitnetTap, translatedGraph, withRows } from './mainline-taps.ts';

/** Largest difference over the largest magnitude of the node. */
export const OPERATION_TOLERANCE = 1e-6;

/** One operation in all layers, each computed by llama.cpp from the inputs that our engine had. */
export interface ForcedOperation {
  /** Without the layer: `Qcur`, and `Qcur (1)` for the second of that name. */
  readonly operation: string;
  /** Nodes that were compared. */
  readonly nodes: number;
  /** Values that were compared, and those of them with different bits. */
  readonly values: number;
  readonly differing: number;
  /** Largest difference over the largest magnitude of its node; null where a value is no finite number. */
  readonly worst: number | null;
  /** The node with it. */
  readonly worstNode: string;
  readonly passed: boolean;
}

/**
 * Compares operation by operation: llama.cpp computes the prompt's graph as one batch, and after each node its value is
 * replaced by our engine's, so that no error of one operation reaches the next.
 *
 * @throws Error where a node of either has no counterpart
 */
export async function compareForcedOperations(
  ours: Side,
  backend: Backend,
  ids: readonly number[],
  signal: AbortSignal,
): Promise<ForcedOperation[]> {
  const mode = 'batch-all';
  const graph = translatedGraph(backend.info.hooks);
  const taps = new Map<string, TraceTap & { readonly data: Float32Array }>();
  await ours.trace(ids, {
    mode,
    signal,
    onTap: (tap) => taps.set(keyOf(tap), { ...tap, data: tap.data!.slice() }),
  });
  // The first run says how many cells its scores have.
  const overwrite: NodeValues[] = [];
  await backend.trace(ids, {
    mode,
    signal,
    onNode: ({ name, occurrence, step, shape }) => {
      const known = bitnetName(name, graph);
      if (known === undefined) return;
      const tap = taps.get(keyOf({ name: known, occurrence, step }));
      if (tap === undefined) throw new Error(`llama.cpp has a node ${name}, our engine none.`);
      const values = withRows(tap.data, tap.shape.at(-1)!, shape.at(-1)!);
      overwrite.push({ name, occurrence, step, values });
    },
  });
  const found = new Map<string, BackendNode[]>();
  await backend.trace(ids, {
    mode,
    signal,
    overwrite,
    onNode: (node) => {
      const name = bitnetName(node.name, graph);
      if (name === undefined) return;
      const operation = `${name.replace(/-\d+$/, '')}${node.occurrence === 0 ? '' : ` (${node.occurrence})`}`;
      found.set(operation, [...(found.get(operation) ?? []), node]);
    },
  });
  return [...found].map(([operation, nodes]) =>
    judge(operation, nodes, (node) => {
      const theirs = bitnetTap(node, ids.length, graph)!;
      return [theirs.data!, taps.get(keyOf(theirs))!.data];
    }),
  );
}

function judge(
  operation: string,
  nodes: readonly BackendNode[],
  valuesOf: (node: BackendNode) => readonly [theirs: Float32Array, ours: Float32Array],
): ForcedOperation {
  let [values, differing, worst, worstNode] = [0, 0, 0, nodes[0]!.name];
  for (const node of nodes) {
    const [theirs, ours] = valuesOf(node);
    let [error, largest] = [theirs.length === ours.length ? 0 : NaN, 0];
    for (const [index, value] of theirs.entries()) {
      const difference = Math.abs(value - ours[index]!);
      // A NaN stays: no comparison with it holds.
      if (!(difference <= error)) error = difference;
      largest = Math.max(largest, Math.abs(value));
      if (!Object.is(value, ours[index])) differing++;
    }
    values += theirs.length;
    const relative = error === 0 ? 0 : error / largest;
    if (!(relative <= worst)) [worst, worstNode] = [relative, node.name];
  }
  const passed = values > 0 && worst <= OPERATION_TOLERANCE;
  return {
    operation,
    nodes: nodes.length,
    values,
    differing,
    worst: Number.isFinite(worst) ? worst : null,
    worstNode,
    passed,
  };
}

function keyOf({ name, occurrence, step }: Pick<TraceTap, 'name' | 'occurrence' | 'step'>): string {
  return `${name} ${occurrence} ${step}`;
}
