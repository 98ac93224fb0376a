import { readFile } from 'node:fs/promises';
import { InvalidArgumentError } from 'commander';
import { UsageError } from './errors.ts';
import { tokenIds } from './options.ts';
import type { LoadedTokenizer } from './tokenizer-file.ts';

/** What to evaluate, by the names of the options. */
export interface PromptSelection {
  readonly ids?: readonly number[];
  readonly idsFile?: string;
  readonly prompt?: string;
  /** Special tokens written in the prompt become these tokens. */
  readonly special?: true;
}

/** @param loaded - for a prompt; ids need no tokenizer */
export async function readPromptIds(
  { ids, idsFile, prompt, special }: PromptSelection,
  loaded: LoadedTokenizer | undefined,
): Promise<readonly number[]> {
  if (ids !== undefined) return ids;
  if (prompt !== undefined && loaded) return loaded.tokenizer.encode(prompt, { parseSpecial: special === true });
  if (idsFile === undefined) throw new UsageError('What to evaluate is missing: give --ids, --ids-file or -p.');
  try {
    return tokenIds(await readFile(idsFile, 'utf8'));
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new UsageError(`${idsFile}: ${error.message}`);
    throw error;
  }
}
