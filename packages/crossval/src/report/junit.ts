import type { LadderReport } from '../ladder/report.ts';
import { describeDeviation } from '../trace/render-diff.ts';
import type { OtherOutcome } from './other-outcome.ts';

/**
 * Reports as JUnit XML: a suite for each ladder, a test case for each rung. A rung that did not run is skipped, never
 * passed; a comparison that should have taken place and did not is an error.
 */
export function renderJunit(reports: readonly LadderReport[], others: readonly OtherOutcome[] = []): string {
  const suites = reports.map((report) => {
    const { rungs, ours, reference } = report;
    const name = `${ours.name} ${ours.numerics ?? ''} against ${reference.name} ${reference.numerics ?? ''}, ${ours.model.file}`;
    const failed = rungs.filter(({ status }) => status === 'fail').length;
    const skipped = rungs.filter(({ status }) => status === 'not-run' || status === 'skipped').length;
    const cases = rungs.map(({ rung, status, compared }) => {
      const open = `    <testcase classname="${xml(name)}" name="${rung}" assertions="${compared}"`;
      if (status === 'pass') return `${open}/>`;
      if (status !== 'fail') return `${open}>\n      <skipped message="${status}"/>\n    </testcase>`;
      return `${open}>\n${failuresOf(report)}\n    </testcase>`;
    });
    const counts = `tests="${rungs.length}" failures="${failed}" errors="0" skipped="${skipped}"`;
    return [`  <testsuite name="${xml(name)}" ${counts}>`, ...cases, '  </testsuite>'].join('\n');
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites name="bittern crossval">',
    ...suites,
    ...others.map(otherSuite),
    '</testsuites>',
    '',
  ].join('\n');
}

function otherSuite({ kind, name, message }: OtherOutcome): string {
  const text = `message="${xml(message)}"`;
  const result = {
    passed: '',
    failed: `      <failure type="FAILED" ${text}/>\n`,
    'not-compared': `      <error type="NOT_COMPARED" ${text}/>\n`,
    'not-installed': `      <skipped ${text}/>\n`,
  }[kind];
  const count = (of: OtherOutcome['kind']): number => (kind === of ? 1 : 0);
  const counts = `failures="${count('failed')}" errors="${count('not-compared')}" skipped="${count('not-installed')}"`;
  return [
    `  <testsuite name="${xml(name)}" tests="1" ${counts}>`,
    `    <testcase classname="${xml(name)}" name="${kind === 'not-compared' ? 'preflight' : 'comparison'}">`,
    `${result}    </testcase>`,
    '  </testsuite>',
  ].join('\n');
}

function failuresOf({ failures, where, why }: LadderReport): string {
  const first = where?.diff.first;
  const text = [
    ...failures.map(({ message }) => message),
    ...(first == null ? [] : [`First difference: ${describeDeviation(first)}`]),
    ...why.slice(0, 3).map(({ title, evidence }) => `Probable cause: ${title}. ${evidence.join(' ')}`),
  ].join('\n');
  const { code, message } = failures[0]!;
  return `      <failure type="${code}" message="${xml(message)}">${xml(text)}</failure>`;
}

/** What XML 1.0 cannot hold is replaced; the rest is escaped. */
function xml(text: string): string {
  const escapes: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    '\n': '&#10;',
  };
  return text
    .toWellFormed()
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replaceAll(/[&<>"\n]/g, (character) => escapes[character]!);
}
