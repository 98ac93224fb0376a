import type { LadderReport } from '../ladder/report.ts';
import { describeDeviation } from '../trace/render-diff.ts';
import type { NotCompared } from './not-compared.ts';

/**
 * Reports as JUnit XML: a suite for each ladder, a test case for each rung. A rung that did not run is skipped, never
 * passed; a comparison that did not take place is an error.
 */
export function renderJunit(reports: readonly LadderReport[], notCompared: readonly NotCompared[] = []): string {
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
    ...notCompared.map(errorSuite),
    '</testsuites>',
    '',
  ].join('\n');
}

function errorSuite({ name, message }: NotCompared): string {
  return [
    `  <testsuite name="${xml(name)}" tests="1" failures="0" errors="1" skipped="0">`,
    `    <testcase classname="${xml(name)}" name="preflight" assertions="0">`,
    `      <error type="NOT_COMPARED" message="${xml(message)}"/>`,
    '    </testcase>',
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
