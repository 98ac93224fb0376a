import { readFile } from 'node:fs/promises';
import {
  EXACT_THRESHOLDS,
  type LadderThresholds,
  onlyMetrics,
  parseThresholds,
  PLAYBOOK_THRESHOLDS,
  type RowLimits,
} from '@bittern/crossval';
import { UsageError } from '../errors.ts';
import type { CrossvalOptions } from './options.ts';

/** The one source of limits: `--exact`, a file or the parity playbook, then `--cos-tol` and `--metrics`. */
export async function thresholdsOf(
  options: Pick<CrossvalOptions, 'exact' | 'thresholds' | 'cosTol' | 'metrics'>,
): Promise<LadderThresholds> {
  const { exact, thresholds: file, cosTol, metrics } = options;
  if (exact) return EXACT_THRESHOLDS;
  let chosen = file === undefined ? PLAYBOOK_THRESHOLDS : parseThresholds(await readFile(file, 'utf8'), file);
  if (cosTol !== undefined) {
    const withCosine = (limits: RowLimits): RowLimits => ({ ...limits, cosine: cosTol });
    chosen = {
      source: `${chosen.source}, --cos-tol ${cosTol}`,
      firstLogit: withCosine(chosen.firstLogit),
      positions: withCosine(chosen.positions),
    };
  }
  if (metrics === undefined) return chosen;
  // The first logits have fewer limits than later positions; a metric without any limit could never fail.
  const unlimited = metrics.find((metric) => !(metric in chosen.firstLogit) && !(metric in chosen.positions));
  if (unlimited !== undefined) {
    const known = Object.keys({ ...chosen.firstLogit, ...chosen.positions }).join(', ');
    throw new UsageError(
      `--metrics ${unlimited}: ${chosen.source} has no limit for it, only for ${known}. Give one with --thresholds.`,
    );
  }
  const gated = onlyMetrics(chosen, metrics);
  const complete = (own: RowLimits, other: RowLimits): RowLimits => (Object.keys(own).length > 0 ? own : other);
  return {
    source: `${chosen.source}, --metrics ${metrics.join(',')}`,
    firstLogit: complete(gated.firstLogit, gated.positions),
    positions: complete(gated.positions, gated.firstLogit),
  };
}
