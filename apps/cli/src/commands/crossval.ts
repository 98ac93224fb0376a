import { writeFile } from 'node:fs/promises';
import { renderReport } from '@bittern/crossval';
import type { Command } from 'commander';
import { compare } from '../crossval/compare.ts';
import { type CrossvalDocument, EXIT_CODE_OF } from '../crossval/document.ts';
import { addCrossvalOptions, type CrossvalOptions } from '../crossval/options.ts';
import { writeReports } from '../crossval/reports.ts';
import { addCausesCommand } from './crossval-causes.ts';
import { addSweepCommands } from './crossval-sweep.ts';
import { NotComparedError } from '../errors.ts';
import { EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { writeJson } from '../output.ts';

/** @param setExitCode - called with the verdict's; a report that says `diverged` was printed as it should be */
export function addCrossvalCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  const command = program
    .command('crossval')
    .alias('crossval-per-token')
    .description('Compare our engine with a reference, rung by rung: where they part, and why.');
  addCrossvalOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  bittern crossval --exact
  bittern crossval -m model.gguf --reference recordings/model --numerics avx2
  bittern crossval -m model.gguf --reference-model other.gguf -p "What is 2+2?" --max-tokens 8 --html report.html
  bittern crossval -p "Once upon a time" --ladder positions --metrics mse,kl,topk --cos-tol 0.9999 --json

${EXIT_CODES_HELP}`,
    )
    .action(async (options: CrossvalOptions) => setExitCode(await crossval(options, io)));
  addSweepCommands(command, io, setExitCode);
  addCausesCommand(command, io);
}

async function crossval(options: CrossvalOptions, io: Io): Promise<ExitCode> {
  const document = await compare(options, io);
  const json = options.json === true || options.format === 'json';
  if (options.receipt !== undefined) await writeFile(options.receipt, `${JSON.stringify(document)}\n`);
  const { ladders, message } = document;
  const notCompared = message === undefined ? [] : [{ name: 'crossval', message }];
  await writeReports(ladders, notCompared, options, io);
  if (json) await writeJson(io, document);
  if (message !== undefined) throw new NotComparedError(message);
  if (!json) await io.stdout.write(textOf(document, options));
  return EXIT_CODE_OF[document.status];
}

function textOf(document: CrossvalDocument, options: CrossvalOptions): string {
  const { status, metrics, ladders, bisect } = document;
  const words = { ok: 'Passed', diverged: 'FAILED', 'not-compared': 'COULD NOT COMPARE' }[status];
  const { token_count: count, compared_by_value: byValue, compared_by_digest: byDigest } = metrics;
  const largest = metrics.max_abs_difference;
  const reports = ladders.map((ladder) => renderReport(ladder, { verbose: options.verbose === true }));
  const bisected = bisect?.map((found) =>
    found === null
      ? 'Bisect: no prefix of the prompt diverges\n'
      : `Bisect: ${found.length} of ${found.promptLength} ids are the shortest prefix that diverges, first at position ${found.position} (id ${found.token}), after ${found.tried.length} evaluations\n  ${found.message}\n`,
  );
  return [
    ...idLines(document, options),
    reports.join('\n'),
    ...(bisected === undefined ? [] : ['\n', ...bisected]),
    `\n${words}: ${count} positions compared (${byValue} by value, ${byDigest} by digest), ` +
      `${largest === null ? 'no difference known' : `largest difference ${largest}`}\n`,
  ].join('');
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
