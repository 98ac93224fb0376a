import { type DiffOptions, diffTraces, renderTraceDiff, type TraceDiff } from '@bittern/crossval';
import { type Command, Option } from 'commander';
import { isUnusable, messageOf, NotComparedError } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { jsonOption, nonNegative } from '../options.ts';
import { writeJson } from '../output.ts';
import { openTraceFolder } from '../trace-folder.ts';

interface TraceDiffOptions {
  readonly tolerance?: number;
  readonly json?: true;
}

/** @param setExitCode - called with the verdict's; a report of a difference was printed as it should be */
export function addTraceDiffCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('trace-diff <reference> <ours>')
    .description('Compare two recorded traces operation by operation: the first that differs, and the last equal one.')
    .addOption(
      new Option(
        '--tolerance <number>',
        "largest difference that passes, relative to the operation's largest value (default: exact)",
      ).argParser(nonNegative),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  bittern trace-diff traces/reference traces/ours
  bittern trace-diff traces/reference traces/ours --tolerance 1e-6 --json

A trace that is empty, cut short or of other ids, mode or operations ends with ${EXIT_CODES.notCompared}.

${EXIT_CODES_HELP}`,
    )
    .action(async (reference: string, ours: string, options: TraceDiffOptions) => {
      const diff = await compare(reference, ours, options, io);
      await (options.json ? writeJson(io, diff) : io.stdout.write(renderTraceDiff(diff)));
      setExitCode(diff.verdict === 'differs' ? EXIT_CODES.failed : EXIT_CODES.success);
    });
}

async function compare(
  reference: string,
  ours: string,
  { tolerance }: TraceDiffOptions,
  { signal }: Io,
): Promise<TraceDiff> {
  const options: DiffOptions = { tolerance, signal };
  try {
    return await diffTraces(await openTraceFolder(reference), await openTraceFolder(ours), options);
  } catch (error) {
    if (signal.aborted || !isUnusable(error)) throw error;
    throw new NotComparedError(`nothing was compared: ${messageOf(error)}`, { cause: error });
  }
}
