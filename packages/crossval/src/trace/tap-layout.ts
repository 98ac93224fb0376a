import type { EvaluationMode, TraceTap } from '../side.ts';

/** Where a tap stands: what joins the taps of two traces. */
export type TapPlace = Pick<TraceTap, 'name' | 'occurrence' | 'step'>;

/** These have heads outside and tokens inside: [heads, tokens, cells or head dimension]. All others begin with tokens. */
const HEADS_FIRST = /^(?:kq|kq_soft_max_ext|kqv)-\d+$/;

/** The layer in a tap's name, `l_out-29`; null for those of no layer. */
export function layerOf(name: string): number | null {
  const layer = /-(\d+)$/.exec(name)?.[1];
  return layer === undefined ? null : Number(layer);
}

export function keyOf({ step, name, occurrence }: TapPlace): string {
  return `${step} ${name} ${occurrence}`;
}

/** For people: `Qcur-0 (occurrence 1, step 0)`. */
export function labelOf({ name, occurrence, step }: TapPlace): string {
  return `${name} (occurrence ${occurrence}, step ${step})`;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index]);
}

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The tokens of one evaluation call. */
export interface StepTokens {
  /** Position of the first. */
  readonly start: number;
  readonly count: number;
}

/** The tokens of each step of a trace, from the traces's own shapes: the first tap of a step has a row for each. */
export function tokensOfSteps(
  taps: readonly Pick<TraceTap, 'step' | 'shape'>[],
  mode: EvaluationMode,
): ReadonlyMap<number, StepTokens> {
  const steps = new Map<number, StepTokens>();
  let next = 0;
  for (const { step, shape } of taps) {
    if (steps.has(step)) continue;
    const count = mode === 'sequential' ? 1 : (shape[0] ?? 1);
    const start = mode === 'sequential' ? step : next;
    steps.set(step, { start, count });
    next = start + count;
  }
  return steps;
}

/** How the elements of a tap belong to positions and heads. */
export interface TapLayout {
  /** Position of each row of tokens; the last layer may have only the last ones. */
  readonly positions: readonly number[];
  /** How many groups of rows there are: heads where these stand outside, else 1. */
  readonly groups: number;
  /** Values of one row of one group. */
  readonly width: number;
  positionOf(element: number): number;
  /** Index of the first value of a row: `row` counts positions. */
  offsetOf(group: number, row: number): number;
}

export function layoutOf({ name, shape }: Pick<TraceTap, 'name' | 'shape'>, step: StepTokens): TapLayout {
  const length = elementsOf(shape);
  const headsFirst = HEADS_FIRST.test(name);
  // One token: leading ones are left out of shapes, so that the first size may be heads.
  const rows = step.count === 1 ? 1 : headsFirst ? step.count : (shape[0] ?? 1);
  const width = headsFirst ? (shape.at(-1) ?? 1) : length / rows;
  const groups = length / (rows * width);
  const first = step.start + step.count - rows;
  return {
    positions: Array.from({ length: rows }, (_, row) => first + row),
    groups,
    width,
    positionOf: (element) => first + (Math.floor(element / width) % rows),
    offsetOf: (group, row) => (group * rows + row) * width,
  };
}
