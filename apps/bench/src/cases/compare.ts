import { type Command, InvalidArgumentError, Option } from 'commander';
import { compare, type Comparison } from '../compare/compare.ts';
import { readMeasurements } from '../compare/measurements.ts';
import { junitOf, markdownOf, textOf } from '../compare/report.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../errors.ts';
import type { Io } from '../io.ts';

interface CompareOptions {
  readonly failOnRegression?: number;
  readonly format: keyof typeof FORMATS;
}

const FORMATS = {
  text: textOf,
  json: (comparison: Comparison): string => `${JSON.stringify(comparison)}\n`,
  junit: junitOf,
  markdown: markdownOf,
} as const;

export function addCompareCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('compare')
    .argument('<base>', 'what --json wrote, or a receipt')
    .argument('<current>', 'the same, later')
    .description('Compare two results of one machine, case by case, and tell differences from noise.')
    .addOption(
      new Option(
        '--fail-on-regression <percent>',
        'fail where a case is slower by more than this, with 95 %',
      ).argParser(percent),
    )
    .addOption(new Option('--format <format>', 'of the report').choices(Object.keys(FORMATS)).default('text'))
    .addHelpText(
      'after',
      `
The ratio is that of the medians, current by base, and with 95 % lies between the two numbers beside it; where 1 is between
them, the samples show no difference. That wants at least 7 samples of each. A case that is missing or has too few samples is
a failure, and so is nothing to compare, or another machine. Samples of one run say nothing about other runs: a machine that
was busy for all of one run is slower in all of its samples.

Examples:
  bittern-bench decode --json > base.json
  bittern-bench decode --json > current.json
  bittern-bench compare base.json current.json --fail-on-regression 5
  bittern-bench compare base.receipt current.receipt --format junit

${EXIT_CODES_HELP}`,
    )
    .action(async (base: string, current: string, { failOnRegression = undefined, format }: CompareOptions) => {
      const comparison = compare(
        await readMeasurements(base),
        await readMeasurements(current),
        failOnRegression ?? null,
      );
      await io.stdout.write(FORMATS[format](comparison));
      setExitCode(comparison.verdict === 'pass' ? EXIT_CODES.success : EXIT_CODES.failed);
    });
}

function percent(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('It must be a number from 0 up.');
  }
  return value;
}
