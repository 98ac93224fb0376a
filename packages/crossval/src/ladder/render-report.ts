import type { LadderReport, TapDifference, WorstMetrics } from './report.ts';

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

/** The report as plain text without colour, for people; the object itself is the one for programs. */
export function renderReport(report: LadderReport): string {
  const { counts, ours, reference } = report;
  const lines = [
    `Parity ladder: ${report.verdict.toUpperCase()} (${report.exact ? 'exact, every bit' : 'within tolerances'})`,
    '',
    ...table([
      ['ours', identity(ours)],
      ['reference', identity(reference)],
      ['model', `${ours.model.file}, SHA-256 ${ours.model.sha256}`],
    ]),
    '',
    ...table(
      report.rungs.map(({ rung, status, compared }) => [
        rung,
        status,
        status === 'not-run' ? '' : `${compared} ${UNIT_OF_RUNG[rung]}`,
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
  for (const failure of report.failures.slice(0, MAX_FAILURES)) {
    lines.push('', `${failure.rung} ${failure.code}${failure.case === null ? '' : ` in ${failure.case}`}`);
    lines.push(`  ${failure.message}`);
  }
  const more = report.failures.length - MAX_FAILURES;
  if (more > 0) lines.push('', `and ${more} more failures on this rung`);
  if (report.firstDivergence !== null) lines.push('', `First differing operation: ${tap(report.firstDivergence)}`);
  return `${lines.join('\n')}\n`;
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
