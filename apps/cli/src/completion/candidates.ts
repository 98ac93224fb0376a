import type { Argument, Command, Option } from 'commander';

/** What may stand where the cursor is. */
export interface Candidates {
  /** Whether the shell shall offer files or folders, too. */
  readonly paths: 'files' | 'folders' | 'none';
  /** Those that begin with what was typed. */
  readonly words: readonly { readonly word: string; readonly description: string }[];
}

/**
 * What can complete a command line, by the definitions of the commands.
 *
 * @param words - what follows the program's name, up to the cursor; the last one is being typed, and may be empty
 */
export function candidatesFor(program: Command, words: readonly string[]): Candidates {
  let command = program;
  /** The option whose value comes next. */
  let open: Option | undefined;
  let positionals = 0;
  let onlyPositionals = false;
  for (const word of words.slice(0, -1)) {
    if (open !== undefined && !(open.variadic && isOption(word))) {
      if (!open.variadic) open = undefined;
    } else if (word === '--') {
      onlyPositionals = true;
    } else if (!onlyPositionals && isOption(word)) {
      // `--name=value` is whole.
      const option = word.includes('=') ? undefined : optionOf(command, word);
      open = option !== undefined && takesValue(option) ? option : undefined;
    } else {
      const next = positionals === 0 ? subcommandOf(command, word) : undefined;
      if (next === undefined) positionals++;
      else command = next;
    }
  }

  const typed = words.at(-1) ?? '';
  if (!onlyPositionals && isOption(typed)) return optionCandidates(command, typed);
  if (open !== undefined) return valueCandidates(open, typed);
  const commands = positionals === 0 ? subcommandCandidates(command, typed) : [];
  const argument = command.registeredArguments.at(positionals) ?? lastVariadic(command);
  const values = argument === undefined ? undefined : valueCandidates(argument, typed);
  return { paths: values?.paths ?? 'none', words: [...commands, ...(values?.words ?? [])] };
}

function isOption(word: string): boolean {
  return word.startsWith('-') && word !== '-';
}

function optionOf(command: Command, flag: string): Option | undefined {
  return command.options.find(({ short, long }) => flag === short || flag === long);
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

function subcommandOf(command: Command, name: string): Command | undefined {
  return command.commands.find((each) => each.name() === name || each.aliases().includes(name));
}

function lastVariadic(command: Command): Argument | undefined {
  const last = command.registeredArguments.at(-1);
  return last?.variadic ? last : undefined;
}

function subcommandCandidates(command: Command, typed: string): Candidates['words'] {
  return beginning(
    typed,
    command
      .createHelp()
      .visibleCommands(command)
      .flatMap((each) => [each.name(), ...each.aliases()].map((word) => ({ word, description: each.description() }))),
  );
}

function optionCandidates(command: Command, typed: string): Candidates {
  const assigned = /^(--[^=]+)=(.*)$/s.exec(typed);
  if (assigned !== null) {
    const option = optionOf(command, assigned[1]!);
    if (option === undefined) return { paths: 'none', words: [] };
    const { paths, words } = valueCandidates(option, assigned[2]!);
    return { paths, words: words.map(({ word, description }) => ({ word: `${assigned[1]!}=${word}`, description })) };
  }
  const options = command.createHelp().visibleOptions(command);
  const words = options.flatMap(({ short, long, description }) =>
    // The short form only to one who asks for it: the long ones tell what they are.
    [long, ...(typed === short ? [short] : [])].flatMap((word) => (word == null ? [] : [{ word, description }])),
  );
  return { paths: 'none', words: beginning(typed, words) };
}

function valueCandidates(of: Option | Argument, typed: string): Candidates {
  const words = beginning(
    typed,
    (of.argChoices ?? []).map((word) => ({ word, description: '' })),
  );
  // `-m, --model <file>`; an argument is its name alone.
  const placeholder = 'flags' in of ? (/[<[](.*)[>\]]/.exec(of.flags)?.[1] ?? '') : of.name();
  const paths = /^(?:folder|reference|ours)$/.test(placeholder)
    ? 'folders'
    : /^files?\b/.test(placeholder)
      ? 'files'
      : 'none';
  return { paths, words };
}

function beginning(typed: string, words: Candidates['words']): Candidates['words'] {
  return words.filter(({ word }) => word.startsWith(typed));
}
