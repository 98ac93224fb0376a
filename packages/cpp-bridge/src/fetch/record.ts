import { readFile, realpath, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { BridgeError } from '../errors.ts';
import type { InspectedFile } from '../inspect.ts';

/** What `fetch-cpp` leaves in a folder that it made: where it is from, and the digests of the libraries. */
export interface FetchRecord {
  readonly version: 1;
  readonly backend: 'llama' | 'bitnet';
  readonly source:
    | { readonly kind: 'npm'; readonly package: string; readonly version: string; readonly integrity: string }
    | { readonly kind: 'git'; readonly repo: string; readonly commit: string; readonly build: string };
  /** SHA-256 of the libraries by their path, seen from the folder; absent until it was built. */
  readonly files?: Readonly<Record<string, string>>;
}

export const RECORD_FILE = 'bittern-fetch.json';
const MOST_BYTES = 64 * 1024;
/** From a library up to the folder with the record. */
const MOST_PARENTS = 8;

export async function writeRecord(folder: string, record: FetchRecord): Promise<void> {
  await writeFile(join(folder, RECORD_FILE), `${JSON.stringify(record, undefined, 2)}\n`);
}

/**
 * @returns undefined where the folder has none
 * @throws BridgeError BRIDGE_BAD_RECORD
 */
export async function readRecord(folder: string): Promise<FetchRecord | undefined> {
  const path = join(folder, RECORD_FILE);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw bad(path, (error as Error).message);
  }
  if (bytes.length > MOST_BYTES) throw bad(path, `it has more than ${MOST_BYTES} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw bad(path, (error as Error).message);
  }
  if (!isRecord(value)) throw bad(path, 'it is not what fetch-cpp writes');
  return value;
}

function isRecord(value: unknown): value is FetchRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { version, backend, source, files = {} } = value as Record<string, unknown>;
  if (version !== 1 || (backend !== 'llama' && backend !== 'bitnet')) return false;
  if (typeof source !== 'object' || source === null || typeof files !== 'object' || files === null) return false;
  return Object.values(files).every((digest) => typeof digest === 'string');
}

/** Digests of libraries as a record has them. */
export async function digestsOf(folder: string, files: readonly InspectedFile[]): Promise<Record<string, string>> {
  // Those of the files are real paths.
  const root = await realpath(folder);
  return Object.fromEntries(files.map(({ path, sha256 }) => [relative(root, path), sha256]));
}

/**
 * The record of the folder that holds a library, if `fetch-cpp` made it.
 *
 * @throws BridgeError BRIDGE_BAD_RECORD where the record cannot be read, or a library is not as it was fetched or built
 */
export async function checkAgainstRecord(files: readonly InspectedFile[]): Promise<FetchRecord | undefined> {
  const [library] = files;
  if (library === undefined) return undefined;
  let folder = dirname(library.path);
  for (let level = 0; level < MOST_PARENTS; level++) {
    const record = await readRecord(folder);
    if (record !== undefined) {
      for (const { path, sha256 } of files) {
        const name = relative(folder, path);
        const recorded = record.files?.[name];
        if (name.startsWith('..') || isAbsolute(name) || recorded === undefined || recorded === sha256) continue;
        throw bad(join(folder, RECORD_FILE), `${path} has SHA-256 ${sha256}, but was fetched with ${recorded}`);
      }
      return record;
    }
    const parent = dirname(folder);
    if (parent === folder) break;
    folder = parent;
  }
  return undefined;
}

function bad(path: string, why: string): BridgeError {
  return new BridgeError(
    'BRIDGE_BAD_RECORD',
    `${path}: ${why}. Fetch it again with --force; if the change is yours, remove that record.`,
  );
}
