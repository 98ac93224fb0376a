import { jsonNumber } from '../json.ts';
import type { TraceTap } from '../side.ts';
import type { LadderFailure } from './report.ts';

/** bitnet.cpp rounds the cells that a micro-batch looks at up to a multiple of this (docs/numerics.md, section 5.3). */
const CELL_MULTIPLE = 32;

/**
 * No softmax weight underflows if its score is at most this below the row's largest: e^-70 over any number of cells below
 * 10^7 is a normal f32. Traced scores are not yet scaled, and engines scale them down, by the root of the head size.
 */
const EXP_RANGE = 70;

/** Attention of one layer as a side traced it: two arrays of one shape, [heads, tokens, cells] (no heads where there is one). */
export interface Attention {
  /** Softmax of the scores. */
  readonly weights: Float32Array;
  /** Queries times keys of all cells, masked ones too; undefined where the trace does not have them. */
  readonly scores: Float32Array | undefined;
}

export interface MaskCheck {
  /** Rows that were looked at: one head at one position. */
  readonly rows: number;
  /** Of these, rows whose zeros were compared with the reference's. */
  readonly rowsAgainstReference: number;
  readonly problem: Pick<LadderFailure, 'code' | 'position' | 'message' | 'details'> | undefined;
}

/**
 * Checks the causal mask: a position gives weight to no later cell, and may see the same cells as in the reference.
 *
 * A weight of 0 alone is no mask: softmax weights underflow. The scores tell: a weight of 0 is a masked cell's if its score
 * - is within exp's range ({@link EXP_RANGE}) of the largest of the row, or
 * - is not below that of another cell to which the same row of the same side gives weight, since softmax keeps the order of
 *   scores whatever their scale.
 *
 * Where one side gives a cell weight and the other gives 0, the cell is differently masked if the 0 is a masked cell's, or
 * if the cell is a later one, to which no weight may be given. A masked cell of which neither holds cannot be told from
 * underflow; a wrong mask is found where one does, in any head or position. Zeros of a side whose scores are not known tell
 * nothing.
 *
 * @param tap - probabilities of our side, for their place and shape
 * @param start - position of the first token
 * @param theirs - the reference's values of the same shape, if there are any
 */
export function checkMask(
  tap: Pick<TraceTap, 'name' | 'step' | 'shape'>,
  start: number,
  ours: Attention,
  theirs: Attention | undefined,
): MaskCheck {
  const cells = tap.shape.at(-1) ?? 0;
  const tokens = tap.shape.at(-2) ?? 1;
  if (!(cells % CELL_MULTIPLE === 0 && cells >= start + tokens)) {
    return {
      rows: 0,
      rowsAgainstReference: 0,
      problem: {
        code: 'KV_CELLS',
        message: `Tap ${tap.name} of step ${tap.step} has ${cells} key/value cells for ${start + tokens} positions, not a multiple of ${CELL_MULTIPLE} that holds them.`,
        details: { tap: tap.name, step: tap.step, cells, positions: start + tokens },
      },
    };
  }
  const rows = ours.weights.length / cells;
  const rowsAgainstReference = theirs !== undefined && ours.scores !== undefined ? rows : 0;
  for (let row = 0; row < rows; row++) {
    const position = start + (row % tokens);
    const mine = rowOf(ours, row, cells);
    const reference = theirs && rowOf(theirs, row, cells);
    const cell = wrongCell(mine, reference, position);
    if (cell === undefined) continue;
    const value = mine.weights[cell]!;
    const expected = reference?.weights[cell];
    const leaks = cell > position && value !== 0;
    const head = Math.floor(row / tokens);
    const place = `Tap ${tap.name} of step ${tap.step}, head ${head}, position ${position}, cell ${cell}`;
    return {
      rows,
      rowsAgainstReference,
      problem: {
        code: leaks ? 'MASK_LEAK' : 'MASK_DIFFERS',
        position,
        message: leaks
          ? `${place}: weight ${value} on a later position.`
          : `${place}: weight ${value}, the reference has ${expected}.`,
        details: {
          tap: tap.name,
          step: tap.step,
          head,
          cell,
          ours: jsonNumber(value),
          reference: expected === undefined ? null : jsonNumber(expected),
        },
      },
    };
  }
  return { rows, rowsAgainstReference, problem: undefined };
}

/** The first cell that leaks or is differently masked, by the rule of {@link checkMask}, in one row of [cells]. */
export function wrongCell(ours: Attention, theirs: Attention | undefined, position: number): number | undefined {
  // NaN where a weight belongs is no matter of the mask: the values are compared on later rungs.
  if (!isFiniteUpTo(ours.weights, position)) return undefined;
  const comparable = theirs !== undefined && isFiniteUpTo(theirs.weights, position);
  let least: { readonly ours: number; readonly theirs: number } | undefined;
  for (let cell = 0; cell < ours.weights.length; cell++) {
    const value = ours.weights[cell]!;
    if (cell > position && value !== 0) return cell;
    if (!comparable || (theirs.weights[cell] === 0) === (value === 0)) continue;
    if (cell > position) return cell;
    least ??= { ours: leastMaskedScore(ours, position), theirs: leastMaskedScore(theirs, position) };
    const [zero, from] = value === 0 ? [ours, least.ours] : [theirs, least.theirs];
    if ((zero.scores?.[cell] ?? Number.NaN) >= from) return cell;
  }
  return undefined;
}

/** From this score on a weight of 0 did not underflow. NaN, which no score reaches, where scores are unknown or NaN. */
function leastMaskedScore({ weights, scores }: Attention, position: number): number {
  if (scores === undefined) return Number.NaN;
  let [largest, lowest] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const [cell, score] of scores.entries()) {
    const weighs = weights[cell] !== 0;
    // A later cell counts only where it has weight.
    if (cell <= position || weighs) largest = Math.max(largest, score);
    if (weighs) lowest = Math.min(lowest, score);
  }
  return Math.min(lowest, largest - EXP_RANGE);
}

function rowOf({ weights, scores }: Attention, row: number, cells: number): Attention {
  const [from, to] = [row * cells, (row + 1) * cells];
  return { weights: weights.subarray(from, to), scores: scores?.subarray(from, to) };
}

function isFiniteUpTo(weights: Float32Array, position: number): boolean {
  return weights.subarray(0, position + 1).every((value) => Number.isFinite(value));
}
