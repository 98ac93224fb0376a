import { markdownTable, markdownText, printable, table } from '../table.ts';
import type { ComparedCase, Comparison } from './compare.ts';

export function textOf(comparison: Comparison): string {
  return `${printable(headOf(comparison))}\n\n${table(rowsOf(comparison))}\n${printable(lastLineOf(comparison))}\n`;
}

export function markdownOf(comparison: Comparison): string {
  return `${markdownText(headOf(comparison))}\n\n${markdownTable(rowsOf(comparison))}\n${markdownText(lastLineOf(comparison))}\n`;
}

/** For continuous integration: a test for each case. */
export function junitOf(comparison: Comparison): string {
  const { base, current, cases, message } = comparison;
  const whole = message === null ? [] : [{ name: 'comparison', failure: message }];
  const tests = [
    ...whole,
    ...cases.map((row) => ({ name: row.name, failure: row.failed ? describe(row) : undefined })),
  ];
  const failures = tests.filter(({ failure }) => failure !== undefined).length;
  const lines = tests.map(({ name, failure }) => {
    const open = `    <testcase classname="bittern-bench" name="${escape(name)}"`;
    return failure === undefined
      ? `${open}/>`
      : `${open}>\n      <failure message="${escape(failure)}"/>\n    </testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites tests="${tests.length}" failures="${failures}">`,
    `  <testsuite name="${escape(`${base} and ${current}`)}" tests="${tests.length}" failures="${failures}">`,
    ...lines,
    '  </testsuite>',
    '</testsuites>\n',
  ].join('\n');
}

function headOf({ base, current, machines, allowedPercent }: Comparison): string {
  const { cpu, cores, fingerprint } = machines.current;
  const allowed = allowedPercent === null ? '' : `, ${allowedPercent} % slower is allowed`;
  return `${current} by ${base}; ${cpu}, ${cores} cores (${fingerprint})${allowed}`;
}

function rowsOf({ cases }: Comparison): string[][] {
  return [
    ['case', 'base ms', 'current ms', 'ratio', '95 % between', ''],
    ...cases.map((row) => [
      row.name,
      figure(row.baseMs),
      figure(row.currentMs),
      figure(row.ratio),
      row.low === null ? '' : `${figure(row.low)} and ${figure(row.high)}`,
      `${row.status}${row.failed ? ', FAILED' : ''}`,
    ]),
  ];
}

function lastLineOf({ verdict, message, cases }: Comparison): string {
  const compared = cases.filter(({ ratio }) => ratio !== null).length;
  const failed = cases.filter((row) => row.failed).length;
  if (verdict === 'pass') return `Passed: ${compared} of ${cases.length} cases compared.`;
  return `FAILED: ${message ?? `${failed} of ${cases.length} cases`}.`;
}

function describe({ status, ratio, low, high }: ComparedCase): string {
  return ratio === null
    ? status
    : `${status}: ${figure(ratio)} times as long (95 %: ${figure(low)} to ${figure(high)})`;
}

function figure(value: number | null): string {
  return value === null ? '' : value.toPrecision(4);
}

function escape(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  // Control characters, which are not allowed in XML at all, are gone with the first.
  return printable(text)
    .replace(/[&<>"]/g, (character) => entities[character]!)
    .replace(/[\uFFFE\uFFFF]/g, '?');
}
