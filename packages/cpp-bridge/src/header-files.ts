import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BridgeError } from './errors.ts';
import type { HeaderSource } from './headers/preprocessor.ts';
import type { Place } from './places.ts';

/** Where a source tree or an installation has the headers. */
const HEADER_FOLDERS: Readonly<Record<Place['backend'], readonly string[]>> = {
  bitnet: ['3rdparty/llama.cpp/include', '3rdparty/llama.cpp/ggml/include', 'include', 'ggml/include'],
  llama: ['include', 'ggml/include', 'include/llama', '.'],
};
const LIMITS = { files: 256, bytes: 16 << 20 };

export interface HeaderFiles {
  /** Folders that they came from. */
  readonly folders: readonly string[];
  readonly source: HeaderSource;
}

/**
 * The headers below a reference's folder; undefined where there is no llama.h. Of two with one name the first counts.
 *
 * @throws BridgeError BRIDGE_BAD_HEADER where there is more than a reference has
 */
export async function findHeaders({ backend, folder: root }: Place): Promise<HeaderFiles | undefined> {
  const texts = new Map<string, string>();
  const folders: string[] = [];
  let bytes = 0;
  for (const candidate of HEADER_FOLDERS[backend]) {
    const folder = join(root, candidate);
    const names = await headersIn(folder);
    for (const name of names) {
      if (texts.has(name)) continue;
      const path = join(folder, name);
      const { size } = await stat(path);
      bytes += size;
      if (texts.size === LIMITS.files || bytes > LIMITS.bytes) {
        throw new BridgeError('BRIDGE_BAD_HEADER', `${folder} has more headers than a reference: ${path}.`);
      }
      texts.set(name, await readFile(path, 'utf8'));
    }
    if (names.length > 0) folders.push(folder);
  }
  return texts.has('llama.h') ? { folders, source: (name) => texts.get(name) } : undefined;
}

async function headersIn(folder: string): Promise<readonly string[]> {
  let entries;
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  // An installation for all users has hundreds of others.
  return entries
    .filter((entry) => entry.isFile() && /^(llama|ggml|gguf)[\w-]*\.h$/.test(entry.name))
    .map(({ name }) => name);
}
