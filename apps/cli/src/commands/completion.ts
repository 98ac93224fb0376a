import { Argument, type Command } from 'commander';
import { candidatesFor } from '../completion/candidates.ts';
import { definitionsOf } from '../completion/definitions.ts';
import { COMPLETION_SCRIPTS, COMPLETION_SHELLS, type CompletionShell } from '../completion/scripts.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { writeJson } from '../output.ts';

export function addCompletionCommand(program: Command, io: Io): void {
  program
    .command('completion')
    .description('Print what makes a shell complete commands, options and their values.')
    .addArgument(new Argument('<shell>', 'whose script is printed').choices([...COMPLETION_SHELLS]))
    .addHelpText(
      'after',
      `
The script asks bittern itself at each press of the key, so it need not be renewed.

Examples:
  eval "$(bittern completion bash)"                 # in ~/.bashrc
  eval "$(bittern completion zsh)"                  # in ~/.zshrc, after compinit
  bittern completion fish | source                  # in ~/.config/fish/config.fish

${EXIT_CODES_HELP}`,
    )
    .action((shell: CompletionShell) => io.stdout.write(COMPLETION_SCRIPTS[shell]));
  // What the scripts ask, and the tool that writes docs/cli.md; for nobody else.
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .option('--definitions')
    .action((words: string[], { definitions }: { readonly definitions?: true }) => {
      if (definitions) return writeJson(io, definitionsOf(program));
      const { paths, words: candidates } = candidatesFor(program, words);
      const lines = candidates.map(({ word, description }) => `${word}\t${description}\n`);
      return io.stdout.write(`${paths}\n${lines.join('')}`);
    });
}
