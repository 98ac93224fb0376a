import type { Command } from 'commander';

/** A command as its help tells of it. */
export interface CommandDefinition {
  /** As it is typed: `bittern crossval sweep`. */
  readonly command: string;
  readonly description: string;
  readonly help: string;
}

/** A command, and all under it that help shows. */
export function definitionsOf(command: Command, above = ''): CommandDefinition[] {
  const name = `${above}${command.name()}`;
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  const below = command.createHelp().visibleCommands(command);
  return [
    { command: name, description: command.description(), help },
    ...below.filter((each) => each.name() !== 'help').flatMap((each) => definitionsOf(each, `${name} `)),
  ];
}
