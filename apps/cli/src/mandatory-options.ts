import type { Command, Option } from 'commander';

/**
 * Commander looks for missing options before it looks for unknown ones: `run --promt x` would be told that --prompt is
 * missing. Here that comes last, just before the command runs.
 */
export function checkMandatoryOptionsLast(program: Command): void {
  const mandatory = new Set<Option>();
  for (const option of allOptions(program)) {
    if (!option.mandatory) continue;
    mandatory.add(option);
    option.mandatory = false;
  }
  program.hook('preAction', (_, command) => {
    for (const option of command.options) {
      if (!mandatory.has(option) || command.getOptionValue(option.attributeName()) !== undefined) continue;
      const message = `error: required option '${option.flags}' not specified`;
      command.error(message, { code: 'commander.missingMandatoryOptionValue' });
    }
  });
}

function allOptions(command: Command): Option[] {
  return [...command.options, ...command.commands.flatMap(allOptions)];
}
