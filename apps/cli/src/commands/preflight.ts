import { type Command, Option } from 'commander';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { jsonOption } from '../options.ts';
import { ProgressLine, writeJson } from '../output.ts';
import { type BackendReport, documentOf, textOf } from '../preflight-report.ts';
import { REFERENCE_NAMES, type ReferenceName, reportOn } from '../reference-check.ts';

interface PreflightOptions {
  readonly backend?: ReferenceName | 'all';
  readonly verbose?: true;
  readonly json?: true;
}

/** @param setExitCode - called with the one for a reference that cannot be used */
export function addPreflightCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('preflight')
    .description('Find the C++ references, look at them, and run them on a model whose answer is known.')
    .addOption(
      new Option('--backend <name>', 'the one that is needed; all needs every one of them')
        .choices([...REFERENCE_NAMES, 'all'])
        .default(undefined, 'those that are set or installed'),
    )
    .option('--verbose', 'files with digests, what they need, struct layouts, CPU variants')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Each reference is ok, missing, incompatible, broken, or skipped: not set, and not asked for with --backend.
bitnet.cpp is the build that BITNET_CPP_DIR names, llama.cpp the one that LLAMA_CPP_DIR names, else the npm package.
~/.config/bittern/config.json may have both, {"BITNET_CPP_DIR": "/path"}; the environment comes first.
It ends with 0 only if all that was asked for is ok; what is set but wrong is a failure.

Examples:
  bittern preflight
  bittern preflight --backend bitnet --verbose
  bittern preflight --backend all --json

${EXIT_CODES_HELP}`,
    )
    .action(async (options: PreflightOptions) => {
      if (!(await preflightAll(options, io))) setExitCode(EXIT_CODES.failed);
    });
}

/** @returns whether all is as asked */
async function preflightAll({ backend, verbose, json }: PreflightOptions, io: Io): Promise<boolean> {
  const wanted = backend === undefined || backend === 'all' ? REFERENCE_NAMES : [backend];
  const reports: BackendReport[] = [];
  {
    using progress = new ProgressLine(io);
    for (const each of wanted) reports.push(await reportOn(each, backend !== undefined, progress, io));
  }
  const ok = reports.every(({ status }) => status === 'ok' || status === 'skipped');
  if (json) {
    await writeJson(io, { ok, backends: reports.map(documentOf) });
  } else {
    const counts = new Map<string, number>();
    for (const { status } of reports) counts.set(status, (counts.get(status) ?? 0) + 1);
    const summary = [...counts].map(([status, count]) => `${count} ${status}`).join(', ');
    await io.stdout.write(`${reports.map((report) => `${textOf(report, verbose === true)}\n`).join('')}${summary}\n`);
  }
  return ok;
}
