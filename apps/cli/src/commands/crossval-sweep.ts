import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { NUMERICS } from '@bittern/engine';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type CrossvalDocument, EXIT_CODE_OF, otherOutcomesOf } from '../crossval/document.ts';
import { notInstalledLine } from '../crossval/document-text.ts';
import { backendOption } from '../crossval/options.ts';
import { type ReportFiles, writeReports } from '../crossval/reports.ts';
import {
  mergeSweeps,
  runSweep,
  type Scenario,
  scenariosOf,
  type Shard,
  type SweepDefaults,
  type SweepDocument,
} from '../crossval/sweep.ts';
import { readSweep, type Sweep } from '../crossval/sweep-file.ts';
import { isUnusable, messageOf, NotComparedError } from '../errors.ts';
import { EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { jsonOption, threadsOption } from '../options.ts';
import { printable, table, writeJson } from '../output.ts';

interface OutputOptions extends ReportFiles {
  readonly json?: true;
  readonly out?: string;
}

interface SweepOptions extends SweepDefaults, OutputOptions {
  readonly shard: Shard;
  readonly traces?: string;
}

/** @param crossval - the command that these are part of */
export function addSweepCommands(crossval: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  const sweep = crossval
    .command('sweep <file>')
    .description('Run a matrix of comparisons, models × prompts × modes × references, from a YAML file.')
    .option('-m, --model <file>', 'GGUF file, for a sweep that names no models')
    .addOption(new Option('--reference <folder>', 'recording, for a sweep that names no references'))
    .addOption(new Option('--reference-model <file>', 'another model as the reference').conflicts('reference'))
    .addOption(
      new Option('--reference-numerics <build>', 'our engine with other numerics as the reference')
        .choices([...NUMERICS])
        .conflicts('reference'),
    )
    .addOption(backendOption().conflicts(['referenceModel', 'referenceNumerics']))
    .addOption(
      new Option('--shard <i/n>', 'run part i of n only').default({ index: 1, count: 1 }, '1/1').argParser(shardOf),
    )
    .option('--traces <folder>', 'also keep the traces of both sides there, a folder a scenario')
    .addOption(threadsOption());
  addOutputOptions(sweep, 'for `crossval merge`')
    .addHelpText(
      'after',
      `
Examples:
  bittern crossval sweep sweep.yaml --html report.html
  bittern crossval sweep sweep.yaml --shard 2/4 --out shard2.json
  bittern crossval merge shard1.json shard2.json shard3.json shard4.json --junit report.xml

The exit code is that of the worst scenario.

${EXIT_CODES_HELP}`,
    )
    .action(async (file: string, options: SweepOptions) => {
      const document = await run(file, options, io);
      setExitCode(await report(document, options, io));
    });
  const merge = crossval
    .command('merge <files...>')
    .description('Put the shards of a sweep together: one verdict, one report. A shard that is missing is an error.');
  addOutputOptions(merge, 'of all shards')
    .addHelpText('after', `\nExamples:\n  bittern crossval merge shard*.json --html report.html\n\n${EXIT_CODES_HELP}`)
    .action(async (files: string[], options: OutputOptions) => {
      const document = mergeSweeps(await Promise.all(files.map(readSweepDocument)));
      setExitCode(await report(document, options, io));
    });
}

function addOutputOptions(command: Command, outFor: string): Command {
  return command
    .option('--out <file>', `write the JSON document there, ${outFor}`)
    .option('--html <file>', 'write a report as one HTML file')
    .option('--junit <file>', 'write a report as JUnit XML')
    .option('--github', 'write annotations of GitHub Actions to stderr, and the summary of the step')
    .addOption(jsonOption());
}

async function run(file: string, options: SweepOptions, io: Io): Promise<SweepDocument> {
  const scenarios = scenariosOf(await readable(file), options);
  const digest = createHash('sha256')
    .update(await readFile(file))
    .update(JSON.stringify(scenarios.map(({ name }) => name)))
    .digest('hex');
  return await runSweep(scenarios, digest, options.shard, io, {
    traces: options.traces,
    async onScenario(scenario, document) {
      if (!options.json) await io.stdout.write(lineOf(scenario, document, scenarios.length));
    },
  });
}

/** A sweep that cannot be read compares nothing. */
async function readable(file: string): Promise<Sweep> {
  try {
    return await readSweep(file);
  } catch (error) {
    if (!isUnusable(error)) throw error;
    throw new NotComparedError(`nothing was compared: ${messageOf(error)}`, { cause: error });
  }
}

function lineOf({ index, name }: Pick<Scenario, 'index' | 'name'>, document: CrossvalDocument, total: number): string {
  const { status, message, metrics, ladders, forcedOperations, notInstalled } = document;
  const words = { ok: 'ok', diverged: 'DIVERGED', 'not-compared': 'NOT COMPARED' }[status];
  const lines = [`${index + 1}/${total} ${printable(name)}: ${words}, ${metrics.token_count} positions\n`];
  if (message !== undefined) lines.push(`  ${printable(message)}\n`);
  for (const { failures, where, why } of ladders) {
    const [failure] = failures;
    if (failure === undefined) continue;
    lines.push(`  ${failure.rung} ${failure.code}: ${printable(failure.message)}\n`);
    const first = where?.diff.first;
    if (first != null)
      lines.push(`  first difference: ${first.name} (occurrence ${first.occurrence}, step ${first.step})\n`);
    if (why[0] !== undefined) lines.push(`  probable cause: ${printable(why[0].title)}\n`);
  }
  for (const { operation, worst, worstNode, passed } of forcedOperations ?? []) {
    if (!passed) lines.push(`  ${printable(operation)} by itself FAILED: ${worst} at ${printable(worstNode)}\n`);
  }
  lines.push(...notInstalled.map((of) => `  ${notInstalledLine(of)}`));
  return lines.join('');
}

async function report(document: SweepDocument, options: OutputOptions, io: Io): Promise<ExitCode> {
  if (options.out !== undefined) await writeFile(options.out, `${JSON.stringify(document)}\n`);
  const ladders = document.scenarios.flatMap((scenario) => scenario.document.ladders);
  const others = document.scenarios.flatMap((scenario) => otherOutcomesOf(scenario.name, scenario.document));
  await writeReports(ladders, others, options, io);
  if (options.json) await writeJson(io, document);
  else await io.stdout.write(summaryOf(document));
  return EXIT_CODE_OF[document.status];
}

function summaryOf({ status, scenarios, total, shard }: SweepDocument): string {
  const count = (of: string): number => scenarios.filter(({ document }) => document.status === of).length;
  const words = { ok: 'Passed', diverged: 'FAILED', 'not-compared': 'COULD NOT COMPARE' }[status];
  const rows = scenarios.map(({ index, name, document }) => [
    String(index + 1),
    document.status,
    `${document.metrics.token_count} positions`,
    printable(name),
  ]);
  const part = shard.count === 1 ? '' : `, shard ${shard.index} of ${shard.count}`;
  const metrics = scenarios.map(({ document }) => document.metrics);
  const sum = (of: 'token_count' | 'compared_by_value' | 'compared_by_digest'): number =>
    metrics.reduce((all, row) => all + row[of], 0);
  const differences = metrics.flatMap(({ max_abs_difference: difference }) => difference ?? []);
  const largest = differences.length === 0 ? 'no difference known' : `largest difference ${Math.max(...differences)}`;
  return (
    `\n${table([['scenario', 'status', 'compared', 'what'], ...rows])}\n` +
    `${words}: ${count('ok')} ok, ${count('diverged')} diverged, ${count('not-compared')} not compared, of ${total} scenarios${part}; ` +
    `${sum('token_count')} positions compared (${sum('compared_by_value')} by value, ${sum('compared_by_digest')} by digest), ${largest}\n`
  );
}

/** What `--out` wrote. Its documents are ours; what is checked is that it is one of these and whole. */
async function readSweepDocument(path: string): Promise<SweepDocument> {
  const text = await readFile(path, 'utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new NotComparedError(`${path} is not JSON, or cut short. Run that shard again.`, { cause });
  }
  const of = Object(value) as Partial<SweepDocument>;
  const whole =
    of.format === 'bittern-sweep' &&
    of.version === 1 &&
    typeof of.sweep === 'string' &&
    Number.isSafeInteger(of.total) &&
    Array.isArray(of.scenarios) &&
    of.scenarios.length > 0 &&
    of.scenarios.every((scenario) => scenario?.document?.format === 'bittern-crossval');
  if (!whole) throw new NotComparedError(`${path} is no sweep of this version. Run that shard again with --out.`);
  return value as SweepDocument;
}

function shardOf(text: string): Shard {
  const [, index, count] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
  if (index === undefined || count === undefined || !(index >= 1 && index <= count)) {
    throw new InvalidArgumentError('It must be i/n with 1 ≤ i ≤ n, such as 2/4.');
  }
  return { index, count };
}
