import type { Command } from 'commander';
import type { Check } from '../doctor/check.ts';
import { checkThreads, checkVariants } from '../doctor/kernels.ts';
import { checkEnvironment, checkMemory, checkRuntime } from '../doctor/machine.ts';
import { checkReferences } from '../doctor/references.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { jsonOption } from '../options.ts';
import { printable, ProgressLine, writeJson } from '../output.ts';
import { VERSION } from '../version.ts';

interface DoctorOptions {
  readonly full?: true;
  readonly json?: true;
}

/** @param setExitCode - called with the one for something that does not work */
export function addDoctorCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('doctor')
    .description('Check what bittern runs on: runtime, kernels, threads, memory, references; and say what to do.')
    .option('--full', 'also run the whole conformance suite of the kernels')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Everything is tried, not only looked at: kernels are compiled and self-tested, threads started, references run.
ok works; gap is something bittern does without, slower or with less to compare with; failed must be repaired.
It ends with 0 unless something failed.

Examples:
  bittern doctor
  bittern doctor --full --json

${EXIT_CODES_HELP}`,
    )
    .action(async (options: DoctorOptions) => {
      const checks = await checkAll(options.full === true, io);
      const ok = checks.every(({ status }) => status !== 'failed');
      if (options.json) await writeJson(io, { bittern: VERSION, ok, checks });
      else await io.stdout.write(textOf(checks));
      setExitCode(ok ? EXIT_CODES.success : EXIT_CODES.failed);
    });
}

async function checkAll(full: boolean, io: Io): Promise<Check[]> {
  const runtime = checkRuntime(io);
  if (runtime.status === 'failed') return [runtime]; // its errors would only hide that
  using progress = new ProgressLine(io);
  return [
    runtime,
    checkEnvironment(io),
    checkMemory(),
    ...(await checkVariants(full, progress, io)),
    await checkThreads(io),
    ...(await checkReferences(progress, io)),
  ];
}

function textOf(checks: readonly Check[]): string {
  const lines = checks.flatMap(({ name, status, found, next }) => [
    `${name}: ${status}`,
    ...found.map((line) => `  ${line}`),
    ...(next === undefined ? [] : [`  Next: ${next}`]),
  ]);
  const count = (of: Check['status']): number => checks.filter(({ status }) => status === of).length;
  lines.push('', `${count('ok')} ok, ${count('gap')} gaps, ${count('failed')} failed`);
  return lines.map((line) => `${printable(line)}\n`).join('');
}
