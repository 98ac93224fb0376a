import type { TraceTap } from '../side.ts';
import { jsonNumber } from '../json.ts';
import type { LadderFailure } from './report.ts';

/** bitnet.cpp rounds the cells that a micro-batch looks at up to a multiple of this (docs/numerics.md, section 5.3). */
const CELL_MULTIPLE = 32;

export interface MaskCheck {
  /** Rows that were looked at: one head at one position. */
  readonly rows: number;
  readonly problem: Pick<LadderFailure, 'code' | 'position' | 'message' | 'details'> | undefined;
}

/**
 * Checks the causal mask in attention probabilities of shape [heads, tokens, cells] (no heads where there is one):
 * a position gives weight to no later cell, and to the same cells as the reference.
 *
 * @param start - position of the first token
 * @param reference - values of the same shape, if there are any
 */
export function checkMask(
  tap: TraceTap & { readonly data: Float32Array },
  start: number,
  reference: Float32Array | undefined,
): MaskCheck {
  const cells = tap.shape.at(-1) ?? 0;
  const tokens = tap.shape.at(-2) ?? 1;
  if (!(cells % CELL_MULTIPLE === 0 && cells >= start + tokens)) {
    return {
      rows: 0,
      problem: {
        code: 'KV_CELLS',
        message: `Tap ${tap.name} of step ${tap.step} has ${cells} key/value cells for ${start + tokens} positions, not a multiple of ${CELL_MULTIPLE} that holds them.`,
        details: { tap: tap.name, step: tap.step, cells, positions: start + tokens },
      },
    };
  }
  const rows = tap.data.length / cells;
  for (let row = 0; row < rows; row++) {
    const position = start + (row % tokens);
    // NaN where a weight belongs is no matter of the mask: the values are compared on later rungs.
    if (!tap.data.subarray(row * cells, row * cells + position + 1).every((value) => Number.isFinite(value))) continue;
    for (let cell = 0; cell < cells; cell++) {
      const value = tap.data[row * cells + cell]!;
      const theirs = reference?.[row * cells + cell];
      const leaks = cell > position && value !== 0;
      if (!leaks && (theirs === undefined || (theirs === 0) === (value === 0))) continue;
      const head = Math.floor(row / tokens);
      const place = `Tap ${tap.name} of step ${tap.step}, head ${head}, position ${position}, cell ${cell}`;
      return {
        rows,
        problem: {
          code: leaks ? 'MASK_LEAK' : 'MASK_DIFFERS',
          position,
          message: leaks
            ? `${place}: weight ${value} on a later position.`
            : `${place}: weight ${value}, the reference has ${theirs}.`,
          details: {
            tap: tap.name,
            step: tap.step,
            head,
            cell,
            ours: jsonNumber(value),
            reference: theirs === undefined ? null : jsonNumber(theirs),
          },
        },
      };
    }
  }
  return { rows, problem: undefined };
}
