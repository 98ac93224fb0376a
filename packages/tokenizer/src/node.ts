import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TokenizerFiles } from './resolve.ts';

/**
 * A tokenizer.json with the tokenizer_config.json and chat_template.jinja in its folder.
 * @throws the error of `node:fs` if it cannot be read
 */
export async function readTokenizerFiles(path: string): Promise<TokenizerFiles> {
  const folder = dirname(path);
  const json = await readFile(path, 'utf8');
  const config = await readIfPresent(join(folder, 'tokenizer_config.json'));
  const chatTemplate = await readIfPresent(join(folder, 'chat_template.jinja'));
  return {
    name: path,
    json,
    ...(config === undefined ? {} : { config }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
  };
}

/** The tokenizer.json in the folder of a model, if there is one. */
export async function readTokenizerBeside(modelPath: string): Promise<TokenizerFiles | undefined> {
  try {
    return await readTokenizerFiles(join(dirname(modelPath), 'tokenizer.json'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
