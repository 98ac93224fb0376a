import { Command, CommanderError } from 'commander';
import { addCompareCommand } from './cases/compare.ts';
import { addDecodeCommand } from './cases/decode.ts';
import { addGgufCommand } from './cases/gguf.ts';
import { addKernelsCommand } from './cases/kernels.ts';
import { addLimitsCommand } from './cases/limits.ts';
import { addLoadCommand } from './cases/load.ts';
import { addOverheadCommand } from './cases/overhead.ts';
import { addPageCommand } from './cases/page.ts';
import { addPrefillCommand } from './cases/prefill.ts';
import { addTokenizerCommand } from './cases/tokenizer.ts';
import { VERSION } from './environment.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode, exitCodeOf, messageOf } from './errors.ts';
import type { Io } from './io.ts';

/**
 * Runs one command.
 *
 * @param argv - what follows the program's name
 * @returns the exit code
 */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  let help = '';
  let exitCode: ExitCode = EXIT_CODES.success;
  const program = new Command('bittern-bench')
    .description("Measures Bittern's speed and memory, and this machine's limits beside them.")
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        help += text;
      },
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.columns,
      getErrHelpWidth: () => io.columns,
    })
    .addHelpText('after', `\n${EXIT_CODES_HELP}`);
  addKernelsCommand(program, io);
  addDecodeCommand(program, io);
  addPrefillCommand(program, io);
  addLoadCommand(program, io);
  addGgufCommand(program, io);
  addTokenizerCommand(program, io);
  addLimitsCommand(program, io);
  const setExitCode = (code: ExitCode): void => {
    exitCode = code;
  };
  addOverheadCommand(program, io, setExitCode);
  addCompareCommand(program, io, setExitCode);
  addPageCommand(program, io);

  try {
    await parse(program, argv);
    if (help !== '') await io.stdout.write(help);
    return exitCode;
  } catch (error) {
    const code = exitCodeOf(error, io.signal);
    if (code === EXIT_CODES.interrupted) io.stderr.write('\nbittern-bench: interrupted\n');
    // Commander has told what is wrong.
    else if (!(error instanceof CommanderError)) io.stderr.write(`bittern-bench: ${messageOf(error)}\n`);
    return code;
  }
}

/** Commander ends `--help` and `--version` with an error of exit code 0. */
async function parse(program: Command, argv: readonly string[]): Promise<void> {
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError && error.exitCode === 0)) throw error;
  }
}
