import { renderReport } from '@bittern/crossval';
import { OPERATION_TOLERANCE, type ForcedOperation } from '../live/forced-operations.ts';
import { table } from '../output.ts';
import type { CrossvalDocument } from './document.ts';
import type { CrossvalOptions } from './options.ts';

/** A document of `crossval` for people. */
export function textOf(document: CrossvalDocument, options: CrossvalOptions): string {
  const { status, metrics, ladders, forcedOperations, notInstalled, bisect } = document;
  const words = { ok: 'Passed', diverged: 'FAILED', 'not-compared': 'COULD NOT COMPARE' }[status];
  const { token_count: count, compared_by_value: byValue, compared_by_digest: byDigest } = metrics;
  const largest = metrics.max_abs_difference;
  const bisected = bisect?.map((found) =>
    found === null
      ? 'Bisect: no prefix of the prompt diverges\n'
      : `Bisect: ${found.length} of ${found.promptLength} ids are the shortest prefix that diverges, first at position ${found.position} (id ${found.token}), after ${found.tried.length} evaluations\n  ${found.message}\n`,
  );
  const parts = [
    ...ladders.map((ladder) => renderReport(ladder, { verbose: options.verbose === true })),
    ...(bisected === undefined ? [] : [bisected.join('')]),
    ...(forcedOperations === null ? [] : [operationTable(forcedOperations)]),
    ...notInstalled.map(notInstalledLine),
  ];
  return [
    ...idLines(document, options),
    parts.join('\n'),
    `\n${words}: ${count} positions compared (${byValue} by value, ${byDigest} by digest), ` +
      `${largest === null ? 'no difference known' : `largest difference ${largest}`}\n`,
  ].join('');
}

export function notInstalledLine(name: string): string {
  return `${name} is not installed: not compared with it.\n`;
}

function operationTable(operations: readonly ForcedOperation[]): string {
  const rows = operations.map(({ operation, nodes, values, differing, worst, worstNode, passed }) => [
    operation,
    String(nodes),
    String(values),
    String(differing),
    worst === null ? 'not finite' : worst === 0 ? '0' : worst.toExponential(1),
    passed ? worstNode : `${worstNode} FAILED`,
  ]);
  return (
    `Each operation by itself, in llama.cpp from our engine's inputs, as one batch; ${OPERATION_TOLERANCE} of the largest value is allowed:\n` +
    table([['operation', 'nodes', 'values', 'differing', 'worst', 'at'], ...rows])
  );
}

/** What `--dump-ids` and `--dump-cpp-ids` print. */
function idLines({ ladders }: CrossvalDocument, { dumpIds, dumpCppIds }: CrossvalOptions): string[] {
  if (!dumpIds && !dumpCppIds) return [];
  const lines: string[] = [];
  for (const { cases, failures, rungs } of ladders) {
    const tokenized = rungs.some(({ rung, status }) => rung === 'tokens' && (status === 'pass' || status === 'fail'));
    for (const { id, ids } of cases) {
      const failure = failures.find((of) => of.rung === 'tokens' && of.case === id);
      const ours = failure === undefined ? (tokenized ? ids : 'not tokenized') : (failure.details['ourIds'] ?? null);
      if (dumpIds) lines.push(`[our token IDs of ${id}]: ${JSON.stringify(ours)}\n`);
      if (dumpCppIds) lines.push(`[reference token IDs of ${id}]: ${JSON.stringify(ids)}\n`);
    }
  }
  return [...lines, '\n'];
}
