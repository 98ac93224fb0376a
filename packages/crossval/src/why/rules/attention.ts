import { wrongCell } from '../../ladder/masks.ts';
import { layoutOf } from '../../trace/tap-layout.ts';
import type { Finding } from '../causes.ts';
import { FLOAT_NOISE, HALF_NOISE, relativeError, rowsOf, short } from '../measure.ts';
import { inLayer, type Scene } from '../scene.ts';

/** Keys or values of the layer as the reference has them, by position and key head. */
type Heads = ReadonlyMap<number, readonly Float32Array[]>;

/** A prediction from f32 inputs where both sides read f16 keys. */
const FITS = 0.01;

/** Scores (queries times keys) differ though both are equal. */
export async function scoreCauses(scene: Scene): Promise<Finding[]> {
  const { theirs, mine, layout, first } = scene;
  const visible = layout.positions.map((position) => position + 1);
  const [a, b] = [rowsOf(theirs, layout), rowsOf(mine, layout)];
  const error = relativeError(flat(a, visible), flat(b, visible));
  if (error === 0) {
    const evidence = `${first.name} differs only in cells that no position sees yet, which must be zero`;
    return [
      { id: 'kv-stale-cell', strength: 0.9, evidence },
      { id: 'kv-cell-offset', strength: 0.8, evidence },
    ];
  }
  const small = smallError(first.name, error);
  if (small.length > 0) return small;
  const queries = await inLayer(scene, 'Qcur', 1);
  const keys = await headsOf(scene, 'Kcur', 1);
  if (queries === undefined || keys.size === 0) {
    return [{ id: 'kv-stale-cell', strength: 0.4, evidence: `${first.name} differs by ${short(error)}` }];
  }
  const headCount = layout.groups;
  const headDim = queries.length / (headCount * layout.positions.length);
  const kvCount = [...keys.values()][0]!.length;
  const score = (head: number, row: number, kv: number, cell: number): number => {
    const key = keys.get(cell)?.[kv];
    if (key === undefined) return 0;
    const at = (row * headCount + head) * headDim;
    let sum = 0;
    for (let index = 0; index < headDim; index++) sum += queries[at + index]! * key[index]!;
    return sum;
  };
  const fit = (head: number, row: number, kv: number, shift: number): number => {
    const predicted = Array.from({ length: visible[row]! }, (_, cell) => score(head, row, kv, cell - shift));
    return relativeError(b[head]![row]!.subarray(0, visible[row]), predicted);
  };
  const findings: Finding[] = [];
  const rows = [...layout.positions.keys()];
  const mapped = (head: number): number => Math.floor(head / (headCount / kvCount));

  const mapping = Array.from({ length: headCount }, (_, head) => {
    const errors = Array.from({ length: kvCount }, (_kv, kv) => Math.max(...rows.map((row) => fit(head, row, kv, 0))));
    const best = errors.indexOf(Math.min(...errors));
    return { best, error: errors[best]! };
  });
  if (mapping.every((of) => of.error < FITS) && mapping.some(({ best }, head) => best !== mapped(head))) {
    const told = mapping.map(({ best }, head) => `${head}→${best}`).join(' ');
    const evidence = `scores fit the mapping ${told}; expected ${mapping.map((_, head) => `${head}→${mapped(head)}`).join(' ')}`;
    return [{ id: 'gqa-mapping', strength: 0.97, evidence }];
  }
  for (const shift of [1, -1, 2, -2]) {
    const worst = Math.max(
      ...mapping.flatMap((_, head) => rows.map((row) => (visible[row]! > 1 ? fit(head, row, mapped(head), shift) : 0))),
    );
    if (worst < FITS && rows.some((row) => visible[row]! > 1)) {
      return [
        {
          id: 'kv-cell-offset',
          strength: 0.97,
          evidence: `scores are those of the cell ${shift > 0 ? '-' : '+'}${Math.abs(shift)}`,
        },
      ];
    }
  }
  const cells = wrongCells(a, b, visible);
  const evidence = `${first.name} differs in the cells ${[...cells].slice(0, 8).join(', ')} of ${visible.at(-1)}`;
  findings.push({ id: 'kv-stale-cell', strength: cells.size < visible.at(-1)! ? 0.95 : 0.6, evidence });
  findings.push({ id: 'gqa-mapping', strength: 0.3, evidence });
  findings.push({ id: 'kv-cell-offset', strength: cells.size < visible.at(-1)! ? 0.3 : 0.5, evidence });
  return findings;
}

/** Probabilities differ though the scores are equal. */
export async function softmaxCauses(scene: Scene): Promise<Finding[]> {
  const { theirs, mine, layout, first } = scene;
  const [a, b] = [rowsOf(theirs, layout), rowsOf(mine, layout)];
  const equal = await inLayer(scene, 'kq');
  const scores = equal && rowsOf(equal, layout);
  for (const [row, position] of layout.positions.entries()) {
    for (const [head, group] of b.entries()) {
      const sides = [group, a[head]!].map((rows) => ({ weights: rows[row]!, scores: scores?.[head]![row] }));
      const cell = wrongCell(sides[0]!, sides[1], position);
      if (cell === undefined) continue;
      const [ours, reference] = sides.map(({ weights }) => short(weights[cell]!));
      const evidence = `head ${head} at position ${position} gives cell ${cell} the weight ${ours}, the reference ${reference}`;
      return [{ id: 'causal-mask', strength: 0.99, evidence }];
    }
  }
  const error = relativeError(theirs, mine);
  if (error < FLOAT_NOISE) return smallError(first.name, error);
  // ln p_i - ln p_0 is the scaled difference of two scores.
  const logs: [number, number][] = [];
  for (const [head, group] of a.entries()) {
    for (const [row, values] of group.entries()) {
      const [p, q] = [values, b[head]![row]!];
      for (let cell = 1; cell <= layout.positions[row]!; cell++) {
        if (Math.min(p[cell]!, q[cell]!, p[0]!, q[0]!) < 1e-12) continue;
        logs.push([Math.log(p[cell]! / p[0]!), Math.log(q[cell]! / q[0]!)]);
      }
    }
  }
  const [xs, ys] = [Float32Array.from(logs, ([x]) => x), Float32Array.from(logs, ([, y]) => y)];
  let [xy, xx] = [0, 0];
  for (const [x, y] of logs) {
    xy += x * y;
    xx += x * x;
  }
  const factor = xy / xx;
  const residual = relativeError(
    ys,
    xs.map((x) => x * factor),
  );
  const fits = logs.length > 0 && residual < 1e-3;
  const told = fits
    ? `scores count ${short(factor)} times as much as in the reference`
    : `probabilities differ by ${short(error)}`;
  return [
    { id: 'softmax-scale', strength: fits ? 0.96 : 0.5, evidence: `${told}, from ${logs.length} probabilities` },
    ...(fits ? [] : [{ id: 'causal-mask' as const, strength: 0.4, evidence: told }]),
  ];
}

/** Sums of values differ though the probabilities are equal. */
export async function valueCauses(scene: Scene): Promise<Finding[]> {
  const { theirs, mine, layout, first } = scene;
  const error = relativeError(theirs, mine);
  const small = smallError(first.name, error);
  if (small.length > 0) return small;
  const probabilities = await inLayer(scene, 'kq_soft_max_ext');
  const values = await headsOf(scene, 'Vcur', 0);
  const differing = `${first.name} differs by ${short(error)}`;
  if (probabilities === undefined || values.size === 0) {
    return [{ id: 'kv-stale-cell', strength: 0.5, evidence: differing }];
  }
  const cells = probabilities.length / (layout.groups * layout.positions.length);
  const kvCount = [...values.values()][0]!.length;
  const mapped = (head: number): number => Math.floor(head / (layout.groups / kvCount));
  const [a, b] = [rowsOf(theirs, layout), rowsOf(mine, layout)];
  const shifted = [1, -1].find((shift) =>
    b.every((group, head) =>
      layout.positions.every((position, row) => {
        const at = (head * layout.positions.length + row) * cells;
        const sum = new Float64Array(layout.width);
        for (let cell = 0; cell <= position; cell++) {
          const value = values.get(cell - shift)?.[mapped(head)];
          for (let index = 0; index < (value?.length ?? 0); index++)
            sum[index]! += probabilities[at + cell]! * value![index]!;
        }
        return sum.every((value) => value === 0)
          ? group[row]!.every((value) => value === 0)
          : relativeError(sum, group[row]!) < FITS;
      }),
    ),
  );
  if (shifted !== undefined) {
    const evidence = `sums are those of the values ${shifted > 0 ? 'one cell before' : 'one cell after'}`;
    // Position 0 alone has nothing but its own cell.
    const several = layout.positions.at(-1)! > 0;
    return [
      { id: 'kv-cell-offset', strength: several ? 0.97 : 0.7, evidence },
      { id: 'kv-stale-cell', strength: several ? 0.4 : 0.75, evidence },
    ];
  }
  const missing = new Set<number>();
  let explained = true;
  for (const [head, group] of b.entries()) {
    for (const [row, position] of layout.positions.entries()) {
      const difference = group[row]!.map((value, index) => a[head]![row]![index]! - value);
      if (relativeError(a[head]![row]!, group[row]!) < HALF_NOISE) continue;
      const at = (head * layout.positions.length + row) * cells;
      // Without its share of one cell a sum is short by p · V of that cell.
      const cell = Array.from({ length: position + 1 }, (_, of) => of).find((of) => {
        const share = values.get(of)?.[mapped(head)]?.map((value) => value * probabilities[at + of]!);
        return share !== undefined && relativeError(share, difference) < 0.05;
      });
      if (cell === undefined) explained = false;
      else missing.add(cell);
    }
  }
  if (explained && missing.size > 0) {
    const evidence = `sums lack the share of the cells ${[...missing].slice(0, 8).join(', ')}`;
    return [{ id: 'kv-stale-cell', strength: 0.95, evidence }];
  }
  return [
    { id: 'kv-stale-cell', strength: 0.6, evidence: differing },
    { id: 'kv-cell-offset', strength: 0.55, evidence: differing },
    { id: 'gqa-mapping', strength: 0.4, evidence: differing },
  ];
}

/** Differences of the size of a rounding. */
export function smallError(name: string, error: number): Finding[] {
  const evidence = `${name} differs by ${short(error)} of its norm, on equal inputs`;
  if (error < FLOAT_NOISE) return [{ id: 'float-order', strength: 0.93, evidence }];
  if (error < HALF_NOISE) {
    return [
      { id: 'f16-rounding', strength: 0.92, evidence },
      { id: 'float-order', strength: 0.3, evidence },
    ];
  }
  return [];
}

/** Cells of which some score differs. */
function wrongCells(a: Float32Array[][], b: Float32Array[][], visible: readonly number[]): Set<number> {
  const cells = new Set<number>();
  for (const [head, group] of a.entries()) {
    for (const [row, values] of group.entries()) {
      for (let cell = 0; cell < visible[row]!; cell++) if (values[cell] !== b[head]![row]![cell]) cells.add(cell);
    }
  }
  return cells;
}

function flat(rows: Float32Array[][], visible: readonly number[]): number[] {
  return rows.flatMap((group) => group.flatMap((row, index) => [...row.subarray(0, visible[index])]));
}

/** The reference's keys or values up to the step of the first difference. */
async function headsOf({ located, first, steps }: Scene, name: string, occurrence: number): Promise<Heads> {
  const rotated = located.reference.taps.find((tap) => tap.name === `Kcur-${first.layer}` && tap.occurrence === 1);
  const headDim = rotated?.shape.at(-1) ?? 1;
  const heads = new Map<number, readonly Float32Array[]>();
  for (const tap of located.reference.taps) {
    if (tap.name !== `${name}-${first.layer}` || tap.occurrence !== occurrence || tap.step > first.step) continue;
    const values = await located.reference.values(tap);
    if (values === undefined) continue;
    const { positions, width, offsetOf } = layoutOf(tap, steps.get(tap.step)!);
    for (const [row, position] of positions.entries()) {
      const from = offsetOf(0, row);
      heads.set(
        position,
        Array.from({ length: width / headDim }, (_, kv) =>
          values.subarray(from + kv * headDim, from + (kv + 1) * headDim),
        ),
      );
    }
  }
  return heads;
}
