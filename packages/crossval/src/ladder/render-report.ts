import type { OperationTable } from '../operations.ts';
import { type GatedMetric, largerIsBetter, type RowLimits } from '../thresholds.ts';
import { describeDeviation, describePlace, driftLines } from '../trace/render-diff.ts';
import type { Cause } from '../why/causes.ts';
import type { LadderFailure, LadderReport, NoiseReport, RowReport, TapDifference, WorstMetrics } from './report.ts';

const UNIT_OF_RUNG = {
  preflight: 'cases',
  tokens: 'ids',
  shapes: 'operations',
  masks: 'attention rows',
  'first-logit': 'rows',
  positions: 'rows',
  decode: 'greedy ids',
} as const;

/** More failures of one rung tell a person nothing new. */
const MAX_FAILURES = 5;
/** Less probable causes than the first few are noise to a reader. */
const MAX_CAUSES = 3;

export interface RenderOptions {
  /** Also every position, every generated id and what was traced. Default: false. */
  readonly verbose?: boolean;
}

/** The report as plain text without colour, for people; the object itself is the one for programs. */
export function renderReport(report: LadderReport, { verbose = false }: RenderOptions = {}): string {
  const { counts, ours, reference, thresholds } = report;
  const lines = [
    `Parity ladder: ${report.verdict.toUpperCase()} (${report.exact ? 'exact, every bit' : 'within tolerances'})`,
    '',
    ...table([
      ['ours', identity(ours)],
      ['reference', identity(reference)],
      ...modelLines(report),
      ['thresholds', thresholds.source],
      ['  first-logit', limits(thresholds.firstLogit)],
      ['  positions', limits(thresholds.positions)],
    ]),
    '',
    ...table(
      report.rungs.map(({ rung, status, compared }) => [
        rung,
        status,
        status === 'not-run' || status === 'skipped' ? '' : `${compared} ${UNIT_OF_RUNG[rung]}`,
      ]),
    ),
    '',
    ...table([
      ['operations', `${counts.tapsByValue} by value, ${counts.tapsByDigest} by digest, ${counts.tapValues} values`],
      ['positions', `${counts.rowsByValue} by value, ${counts.rowsByDigest} by digest, ${counts.rowValues} values`],
      ['differing', `${counts.differingValues} values`],
      ['max abs diff', report.maxAbs === null ? 'nothing compared by value' : String(report.maxAbs)],
      ['generated', `${counts.decodeRowsByValue} rows by value, ${counts.decodeRowsByDigest} by digest`],
      ...worstLines(report.worst),
    ]),
  ];
  if (verbose) lines.push(...positionLines(report), ...decodeLines(report));
  lines.push(...noiseLines(report.noise));
  for (const failure of report.failures.slice(0, MAX_FAILURES)) {
    lines.push('', `${failure.rung} ${failure.code}${failure.case === null ? '' : ` in ${failure.case}`}`);
    lines.push(`  ${failure.message}`, ...tokenLines(failure));
  }
  const more = report.failures.length - MAX_FAILURES;
  if (more > 0) lines.push('', `and ${more} more failures on this rung`);
  if (report.firstDivergence !== null) lines.push('', `First differing operation: ${tap(report.firstDivergence)}`);
  lines.push(...whereLines(report), ...whyLines(report.why));
  if (report.operations !== null) lines.push(...operationLines(report.operations));
  return `${lines.join('\n')}\n`;
}

/** How many ids before and after the first difference are shown. */
const TOKENS_AROUND = 4;

/** The ids around the first that differs, with their pieces. */
function tokenLines({ code, details }: LadderFailure): string[] {
  const { index, referenceIds, ourIds, referencePieces, ourPieces } = details;
  if (code !== 'TOKENS_DIFFER' || typeof index !== 'number') return [];
  const cell = (ids: unknown, pieces: unknown, at: number): string => {
    const id: unknown = Array.isArray(ids) ? ids[at] : undefined;
    const piece: unknown = Array.isArray(pieces) ? pieces[at] : undefined;
    return typeof id !== 'number' ? 'none' : `${id}${typeof piece === 'string' ? ` ${JSON.stringify(piece)}` : ''}`;
  };
  const length = Math.max(...[referenceIds, ourIds].map((ids) => (Array.isArray(ids) ? ids.length : 0)));
  const from = Math.max(0, index - TOKENS_AROUND);
  const rows = Array.from({ length: Math.min(length, index + TOKENS_AROUND + 1) - from }, (_, row) => {
    const at = from + row;
    return [
      `  ${at === index ? '>' : ' '} ${at}`,
      cell(referenceIds, referencePieces, at),
      cell(ourIds, ourPieces, at),
    ];
  });
  return table([['    index', 'reference', 'ours'], ...rows]);
}

function whereLines({ where, whereNotes }: LadderReport): string[] {
  const notes = whereNotes.map((note) => `  ${note}`);
  if (where === null) return notes.length === 0 ? [] : ['', 'Where', ...notes];
  const { first, lastEqual, drift, compared } = where.diff;
  const lines = ['', `Where (${where.case}, ${where.ids.length} ids traced on both sides, mode ${where.mode})`];
  if (first === null) {
    return [...lines, `  All ${compared} operations are equal: the difference is made after them.`, ...notes];
  }
  lines.push(`  first difference  ${describeDeviation(first)}`);
  lines.push(
    `  last equal        ${lastEqual === null ? 'none: it is the first operation' : describePlace(lastEqual)}`,
  );
  lines.push('  drift of the residual stream:', ...driftLines(drift));
  return [...lines, ...notes];
}

function whyLines(causes: readonly Cause[]): string[] {
  if (causes.length === 0) return [];
  const lines = ['', 'Probable causes, the most probable first'];
  for (const [index, { title, strength, evidence, confirm }] of causes.slice(0, MAX_CAUSES).entries()) {
    lines.push(`  ${index + 1}. ${title} (${strength.toFixed(2)})`);
    for (const line of evidence) lines.push(`     ${line}`);
    lines.push(`     confirm: ${confirm}`);
  }
  return lines;
}

function operationLines({ compared, without, kinds, inexact, ids, mode }: OperationTable): string[] {
  const rows = kinds.map(({ kind, compared: of, exact, maxUlp, maxAbs }) => [
    `  ${kind}`,
    `${exact} of ${of} exact`,
    exact === of ? '' : `up to ${maxUlp === null ? 'NaN' : `${maxUlp} ulp`}, ${maxAbs ?? 'no number'}`,
  ]);
  const unfed = without === 0 ? '' : `, ${without} without values of the reference`;
  const lines = [
    '',
    `Operations fed with the reference's own inputs (${ids.length} ids, mode ${mode}): ${compared} compared${unfed}`,
    ...table(rows),
  ];
  for (const { name, occurrence, step, fed, metrics } of inexact.slice(0, MAX_FAILURES)) {
    const own = fed ? '' : ', reads our own result of the operation before';
    lines.push(
      `  ${name} (occurrence ${occurrence}, step ${step}): ${metrics.differing} of ${metrics.count} differ, ${metrics.maxUlp ?? 'NaN'} ulp${own}`,
    );
  }
  if (inexact.length > MAX_FAILURES) lines.push(`  and ${inexact.length - MAX_FAILURES} more`);
  return lines;
}

function positionLines({ rows }: LadderReport): string[] {
  if (rows.length === 0) return [];
  return ['', ...rows.map((row) => `Position ${row.position} of ${row.case}: ${verdictOf(row)}`)];
}

function verdictOf({ failure, judged, comparedBy, metrics }: RowReport): string {
  const verdict = failure !== null ? `FAIL ${failure}` : judged ? 'OK' : 'not judged';
  if (metrics === null) return `${verdict} (by ${comparedBy})`;
  const { cosine, l2, maxAbs } = metrics;
  return `${verdict} (cos_sim: ${cosine?.toFixed(6) ?? 'none'}, l2_dist: ${l2}, max_abs: ${maxAbs})`;
}

function decodeLines({ decode }: LadderReport): string[] {
  if (decode.length === 0) return [];
  const gap = (value: number | null): string => (value === null ? 'unknown' : String(value));
  return [
    '',
    ...decode.map(({ case: id, step, reference, ours, referenceGap, ourGap }) => {
      const ids =
        reference === ours ? `token ${ours} (both)` : `token ${ours} (ours) vs token ${reference} (reference)`;
      return `Generated ${step} of ${id}: ${reference === ours ? 'OK' : 'FAIL'} ${ids}, lead of the largest logit ${gap(ourGap)} and ${gap(referenceGap)}`;
    }),
  ];
}

function noiseLines(noise: readonly NoiseReport[]): string[] {
  if (noise.length === 0) return [];
  const lines = ['', 'Noise of the reference against itself'];
  for (const { what, rows, firstLogit, positions } of noise) {
    lines.push(`  ${what}, ${rows} rows by value`);
    lines.push(`    position 0  ${measured(firstLogit)}`, `    later       ${measured(positions)}`);
  }
  return lines;
}

function measured(worst: NoiseReport['positions']): string {
  const entries = Object.entries(worst).filter(([metric]) =>
    ['maxAbs', 'mse', 'kl', 'cosine', 'top5'].includes(metric),
  );
  return entries.length === 0 ? 'none' : entries.map(([metric, value]) => `${metric} ${value}`).join(', ');
}

function limits(of: RowLimits): string {
  return Object.entries(of)
    .map(([metric, limit]) => `${metric} ${largerIsBetter(metric as GatedMetric) ? '≥' : '≤'} ${limit}`)
    .join(', ');
}

function modelLines({ ours, reference }: LadderReport): string[][] {
  const line = ({ model }: LadderReport['ours']): string => `${model.file}, SHA-256 ${model.sha256}`;
  if (ours.model.sha256 === reference.model.sha256) return [['model', line(ours)]];
  return [
    ['our model', line(ours)],
    ['its model', line(reference)],
  ];
}

function tap({ case: caseId, name, occurrence, step, element, reference, ours }: TapDifference): string {
  const values = element === null ? 'by digest' : `element ${element}: the reference has ${reference}, ours ${ours}`;
  return `${name} (occurrence ${occurrence}, step ${step}) in ${caseId}, ${values}`;
}

function identity({ name, version, build, numerics }: LadderReport['ours']): string {
  return [`${name} ${version}`, build, numerics].filter((part) => part !== undefined).join(', ');
}

function worstLines(worst: WorstMetrics): string[][] {
  return Object.entries(worst).flatMap(([metric, at]) =>
    at === null ? [] : [[`worst ${metric}`, `${at.value} (${at.case}, position ${at.position})`]],
  );
}

/** Columns padded to their widest cell. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
