import { Command, CommanderError, Help, type Option } from 'commander';
import { addBenchmarkCommand } from './commands/benchmark.ts';
import { addChatCommand } from './commands/chat.ts';
import { addCompatCheckCommand } from './commands/compat-check.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addCrossvalCommand } from './commands/crossval.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addFetchCppCommand } from './commands/fetch-cpp.ts';
import { addInspectCommand } from './commands/inspect.ts';
import { addLogitsCommand } from './commands/logits.ts';
import { addPreflightCommand } from './commands/preflight.ts';
import { addRunCommand } from './commands/run.ts';
import { addScoreCommand } from './commands/score.ts';
import { addSetupCppAutoCommand } from './commands/setup-cpp-auto.ts';
import { addTokenizeCommand } from './commands/tokenize.ts';
import { addTraceCommand } from './commands/trace.ts';
import { addTraceDiffCommand } from './commands/trace-diff.ts';
import { addVerifyReceiptCommand } from './commands/verify-receipt.ts';
import { codeOf, messageOf } from './errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode, exitCodeOf } from './exit-codes.ts';
import type { Io } from './io.ts';
import { checkMandatoryOptionsLast } from './mandatory-options.ts';
import { VERSION } from './version.ts';

/**
 * All commands, with their options and help.
 *
 * @param writeHelp - gets what `--help` and `--version` print
 * @param setExitCode - called by commands that print a result and yet do not succeed
 */
export function createProgram(
  io: Io,
  writeHelp: (text: string) => void,
  setExitCode: (code: ExitCode) => void,
): Command {
  const program = new Command('bittern')
    .description('Runs BitNet b1.58 models, with the bits of bitnet.cpp.')
    .version(VERSION)
    .exitOverride()
    // Options behind a sub-command are the sub-command's, also where both have one of that name: `fetch-cpp --version 3.22.1`.
    .enablePositionalOptions()
    .configureHelp({ optionDescription })
    .configureOutput({
      writeOut: writeHelp,
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.columns,
      getErrHelpWidth: () => io.columns,
    })
    .addHelpText(
      'after',
      `
Examples:
  bittern run -p "Once upon a time"
  bittern crossval --exact
  bittern doctor
  bittern crossval --help

${EXIT_CODES_HELP}`,
    );
  addRunCommand(program, io);
  addChatCommand(program, io);
  addLogitsCommand(program, io);
  addScoreCommand(program, io);
  addTokenizeCommand(program, io, setExitCode);
  addInspectCommand(program, io, setExitCode);
  addCompatCheckCommand(program, io, setExitCode);
  addCrossvalCommand(program, io, setExitCode);
  addBenchmarkCommand(program, io);
  addVerifyReceiptCommand(program, io, setExitCode);
  addTraceCommand(program, io);
  addTraceDiffCommand(program, io, setExitCode);
  addPreflightCommand(program, io, setExitCode);
  addSetupCppAutoCommand(program, io);
  addFetchCppCommand(program, io, setExitCode);
  addDoctorCommand(program, io, setExitCode);
  addCompletionCommand(program, io);
  checkMandatoryOptionsLast(program);
  return program;
}

/**
 * Runs one command.
 *
 * @param argv - what follows the program's name
 * @returns the exit code
 */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  let help = '';
  let exitCode: ExitCode = EXIT_CODES.success;
  const program = createProgram(
    io,
    (text) => {
      help += text;
    },
    (code) => {
      exitCode = code;
    },
  );
  try {
    await parse(program, argv);
    if (help !== '') await io.stdout.write(help);
    return exitCode;
  } catch (error) {
    const code = exitCodeOf(error, io.signal);
    if (code === EXIT_CODES.interrupted) io.stderr.write('\nbittern: interrupted\n');
    // Commander has told what is wrong, and whoever closed our output (EPIPE) needs no message.
    else if (!(error instanceof CommanderError || codeOf(error) === 'EPIPE')) {
      io.stderr.write(`bittern: ${messageOf(error)}\n`);
    }
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

/** Commander leaves out the description of a default that has no value, such as one that is decided later. */
function optionDescription(option: Option): string {
  const hasWords = option.defaultValue === undefined && option.defaultValueDescription !== undefined;
  return new Help().optionDescription(hasWords ? Object.assign(Object.create(option), { defaultValue: null }) : option);
}
