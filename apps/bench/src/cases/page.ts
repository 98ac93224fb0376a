import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { BenchError, EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { commandLine, fileNames, hasItsLimits, isKnownCommand } from '../page-command.ts';
import { type BenchDocument, markdownOf, noiseOf } from '../report.ts';

export function addPageCommand(program: Command, io: Io): void {
  program
    .command('page')
    .argument('<files...>', 'what --json wrote')
    .description('Print results as a page of Markdown, for docs/benchmarks.md.')
    .addHelpText(
      'after',
      `
Results during which the machine's limits varied by more than ${100 * MOST_NOISE} % are refused: what they say is noise.

Examples:
  bittern-bench decode --json > decode.json
  bittern-bench prefill --json > prefill.json
  bittern-bench page decode.json prefill.json > docs/benchmarks.md

${EXIT_CODES_HELP}`,
    )
    .action(async (files: readonly string[]) => {
      const documents = await Promise.all(files.map(readDocument));
      const names = fileNames(documents);
      const runs = documents.map((document, index) => `${commandLine(document)} > ${names[index]!}`);
      const head = [
        '# Benchmarks',
        '',
        'Measured and written by these commands. Never edit this file.',
        '',
        '```sh',
        '# Not run in CI: takes minutes, and a quiet machine.',
        ...runs,
        `pnpm -s bench page ${names.join(' ')} > docs/benchmarks.md`,
        '```',
        '',
        '[How to read them](../apps/bench/README.md#how-to-read-the-results).',
        '',
      ];
      await io.stdout.write([...head, ...documents.map(markdownOf)].join('\n'));
    });
}

const MOST_NOISE = 0.1;

async function readDocument(path: string): Promise<BenchDocument> {
  let document: BenchDocument;
  let noise: number;
  try {
    document = JSON.parse(await readFile(path, 'utf8')) as BenchDocument;
    markdownOf(document);
    if (!isKnownCommand(document.command)) throw new BenchError('The command is unknown.');
    noise = document.limits.length === 0 ? 0 : noiseOf(document.limits);
  } catch (cause) {
    if (cause instanceof Error && 'syscall' in cause) throw cause;
    throw new BenchError(`${path} is no result of --json.`, { cause });
  }
  if (!hasItsLimits(document)) {
    throw new BenchError(
      `${path}: the machine's limits are missing, which ${document.command} measures for each number of threads.`,
    );
  }
  if (noise <= MOST_NOISE) return document;
  throw new BenchError(
    `${path}: the machine's limits varied by ${(100 * noise).toFixed(0)} % during the run. Measure again on a quieter machine.`,
  );
}
