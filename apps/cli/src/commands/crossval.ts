import type { Command } from 'commander';
import { compare } from '../crossval/compare.ts';
import { textOf } from '../crossval/document-text.ts';
import { EXIT_CODE_OF, otherOutcomesOf } from '../crossval/document.ts';
import { addCrossvalOptions, type CrossvalOptions } from '../crossval/options.ts';
import { writeReports } from '../crossval/reports.ts';
import { NotComparedError, UsageError } from '../errors.ts';
import { EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { writeJson } from '../output.ts';
import { addCausesCommand } from './crossval-causes.ts';
import { addCrossvalRecordCommand } from './crossval-record.ts';
import { addSweepCommands } from './crossval-sweep.ts';

/** @param setExitCode - called with the verdict's; a report that says `diverged` was printed as it should be */
export function addCrossvalCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  const command = program
    .command('crossval')
    .alias('crossval-per-token')
    // So that sub-commands have options of their own.
    .enablePositionalOptions()
    .description('Compare our engine with a reference, rung by rung: where they part, and why.');
  addCrossvalOptions(command)
    .addHelpText(
      'after',
      `
A running bitnet.cpp is the build that BITNET_CPP_DIR names, llama.cpp the one that LLAMA_CPP_DIR names, else the npm
package. llama.cpp gets an equivalent file (with -m of 2B parameters some 5 GB in the folder for temporary files) and
hooks that make its graph bitnet.cpp's; prompts go through it token by token, where both sum in the same order, and one
as a batch, operation by operation.

A receipt holds digests of model, tokenizer and kernels, who the references are, what was evaluated and how many bits
differ. verify-receipt passes it only where none does. Where there was nothing to compare, none is written.

Examples:
  bittern crossval --exact
  bittern crossval --exact --cpp-backend llama
  bittern crossval -m model.gguf --exact --cpp-backend bitnet -p "Once upon a time" "Hello"
  bittern crossval -m model.gguf --reference recordings/model --numerics avx2
  bittern crossval -m model.gguf --reference-model other.gguf -p "What is 2+2?" --max-tokens 8 --html report.html
  bittern crossval -p "Once upon a time" --ladder positions --metrics mse,kl,topk --cos-tol 0.9999 --json
  bittern crossval --exact --receipt receipt.json && bittern verify-receipt receipt.json
  bittern crossval record --cpp-backend bitnet -m model.gguf -o recordings/model

${EXIT_CODES_HELP}`,
    )
    // So that an unknown sub-command is told as one.
    .allowExcessArguments()
    .action(async (options: CrossvalOptions) => {
      if (command.args.length > 0) {
        const known = command.commands.map((each) => each.name()).join(', ');
        throw new UsageError(`crossval has no command ${JSON.stringify(command.args[0])}; it has ${known}.`);
      }
      setExitCode(await crossval(options, io));
    });
  addCrossvalRecordCommand(command, io);
  addSweepCommands(command, io, setExitCode);
  addCausesCommand(command, io);
}

async function crossval(options: CrossvalOptions, io: Io): Promise<ExitCode> {
  const document = await compare(options, io);
  const json = options.json === true || options.format === 'json';
  const { ladders, message, status } = document;
  await writeReports(ladders, otherOutcomesOf('crossval', document), options, io);
  if (json) await writeJson(io, document);
  if (message !== undefined) throw new NotComparedError(message);
  if (!json) await io.stdout.write(textOf(document, options));
  return EXIT_CODE_OF[status];
}
