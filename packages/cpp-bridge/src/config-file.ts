import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { BridgeError } from './errors.ts';
import type { LibraryBackend } from './library.ts';
import { configFolder, type Environment } from './paths.ts';

/** The variable that names a backend's folder, in the environment and in the configuration file. */
export const FOLDER_VARIABLE: Readonly<Record<LibraryBackend, string>> = {
  llama: 'LLAMA_CPP_DIR',
  bitnet: 'BITNET_CPP_DIR',
};

const MOST_BYTES = 64 * 1024;

/** The user's configuration file: `{"BITNET_CPP_DIR": "/absolute/path"}`, for those who set no variables. */
export function configFile(env: Environment): string {
  return join(configFolder(env), 'config.json');
}

/**
 * @returns folders by the name of their variable; none where there is no file
 * @throws BridgeError BRIDGE_BAD_CONFIG
 */
export async function readConfigFile(env: Environment): Promise<Readonly<Record<string, string>>> {
  const path = configFile(env);
  let text: string;
  try {
    const bytes = await readFile(path);
    if (bytes.length > MOST_BYTES) throw bad(path, `it has more than ${MOST_BYTES} bytes`);
    text = bytes.toString();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    if (error instanceof BridgeError) throw error;
    throw bad(path, (error as Error).message);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw bad(path, (error as Error).message);
  }
  const known = Object.values(FOLDER_VARIABLE);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(path, 'it is no JSON object');
  for (const [name, folder] of Object.entries(value)) {
    if (!known.includes(name)) throw bad(path, `${JSON.stringify(name)} is not known. Known: ${known.join(', ')}`);
    if (typeof folder !== 'string' || !isAbsolute(folder)) throw bad(path, `${name} must be an absolute path`);
  }
  return value as Record<string, string>;
}

function bad(path: string, why: string): BridgeError {
  return new BridgeError('BRIDGE_BAD_CONFIG', `${path} cannot be used: ${why}.`);
}
