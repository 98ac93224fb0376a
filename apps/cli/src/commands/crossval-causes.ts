import { CAUSES } from '@bittern/crossval';
import type { Command } from 'commander';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { jsonOption } from '../options.ts';
import { writeJson } from '../output.ts';

/** @param crossval - the command that this is part of */
export function addCausesCommand(crossval: Command, io: Io): void {
  crossval
    .command('causes')
    .description('List the causes that crossval can name, the evidence each needs, and what would confirm it.')
    .addOption(jsonOption())
    .addHelpText('after', `\nExamples:\n  bittern crossval causes\n\n${EXIT_CODES_HELP}`)
    .action(async ({ json }: { readonly json?: true }) => {
      const causes = Object.entries(CAUSES);
      if (json) await writeJson(io, Object.fromEntries(causes));
      else {
        const lines = causes.map(
          ([id, { title, needs, confirm }]) => `${id}: ${title}\n  needs    ${needs}\n  confirm  ${confirm}\n`,
        );
        await io.stdout.write(lines.join(''));
      }
    });
}
