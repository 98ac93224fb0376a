import { type Command, InvalidArgumentError, Option } from 'commander';

/** What a comparison with a running reference, and a recording of one, are made of. */
export interface LiveOptions {
  readonly prompt?: readonly string[];
  readonly greedy?: number;
}

export const DEFAULT_GREEDY = 16;
const MOST_GREEDY = 4096;

export function addLiveOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--prompt <text...>', "prompts for a running reference (default: the recording's, else a few)"),
    )
    .addOption(
      new Option('--greedy <count>', 'tokens decoded after each')
        .argParser(greedyCount)
        .default(undefined, String(DEFAULT_GREEDY)),
    );
}

function greedyCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= MOST_GREEDY) return count;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MOST_GREEDY}.`);
}
