import type { LadderReport } from '../ladder/report.ts';
import { describeDeviation } from '../trace/render-diff.ts';
import { isBad, type OtherOutcome, OUTCOME_WORDS } from './other-outcome.ts';

/** Workflow commands of GitHub Actions: an error for each failure, a notice for what passed or is not installed. */
export function renderGithubAnnotations(
  reports: readonly LadderReport[],
  others: readonly OtherOutcome[] = [],
): string {
  const otherLines = others.map((of) =>
    command(isBad(of) ? 'error' : 'notice', `${of.name}: ${OUTCOME_WORDS[of.kind]}`, of.message),
  );
  return reports
    .flatMap((report) => {
      const title = titleOf(report);
      if (report.verdict === 'pass') {
        return [
          command(
            'notice',
            title,
            `every rung passed, ${report.counts.rowsByValue + report.counts.rowsByDigest} positions compared`,
          ),
        ];
      }
      const cause = report.why[0];
      return report.failures.map(({ rung, code, message }) =>
        command(
          'error',
          `${title}: ${rung} ${code}`,
          cause === undefined ? message : `${message}\nProbable cause: ${cause.title}`,
        ),
      );
    })
    .concat(otherLines)
    .map((line) => `${line}\n`)
    .join('');
}

/** What `$GITHUB_STEP_SUMMARY` gets: Markdown. */
export function renderGithubSummary(reports: readonly LadderReport[], others: readonly OtherOutcome[] = []): string {
  const rest = others.map((of) => {
    const sign = of.kind === 'passed' ? '✅' : isBad(of) ? '❌' : '➖';
    return `### ${sign} ${markdown(of.name)}\n\n${OUTCOME_WORDS[of.kind]}: ${markdown(of.message)}\n`;
  });
  return [...reports.map(summaryOf), ...rest].join('\n');
}

function summaryOf(report: LadderReport): string {
  const lines = [
    `### ${report.verdict === 'pass' ? '✅' : '❌'} ${markdown(titleOf(report))}`,
    '',
    '| rung | | compared |',
    '|---|---|---|',
    ...report.rungs.map(({ rung, status, compared }) => `| ${rung} | ${status} | ${compared} |`),
    '',
  ];
  for (const { rung, code, message } of report.failures) lines.push(`- **${rung} ${code}** ${markdown(message)}`);
  const first = report.where?.diff.first;
  if (first != null) lines.push('', `First difference: ${markdown(describeDeviation(first))}`);
  if (report.why.length > 0) lines.push('', 'Probable causes:', '');
  for (const { title, evidence, confirm } of report.why.slice(0, 3)) {
    lines.push(`1. **${markdown(title)}**: ${evidence.map(markdown).join('; ')}. To confirm: ${markdown(confirm)}`);
  }
  return `${lines.join('\n')}\n`;
}

function titleOf({ ours, reference }: LadderReport): string {
  return `${ours.name} ${ours.numerics ?? ''} against ${reference.name} ${reference.numerics ?? ''} on ${ours.model.file}`;
}

/** Text that is no Markdown or HTML, on one line. */
function markdown(text: string): string {
  return text
    .replaceAll(/[\r\n]+/g, ' ')
    .replaceAll(/[\\`*_{}[\]<>()#+!|&]/g, (character) => `&#${character.codePointAt(0)};`);
}

/** Percent, CR, LF and in properties also colon and comma are escaped (actions/toolkit, `command.ts`). */
function command(kind: 'error' | 'notice', title: string, message: string): string {
  const data = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
  return `::${kind} title=${property(title)}::${data(message)}`;
}
