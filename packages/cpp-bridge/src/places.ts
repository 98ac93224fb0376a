import { readdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { configFile, FOLDER_VARIABLE, readConfigFile } from './config-file.ts';
import { BridgeError } from './errors.ts';
import type { LibraryBackend } from './library.ts';
import { NPM_PACKAGE, NPM_VERSION } from './npm-library.ts';
import { cacheFolder, type Environment, home } from './paths.ts';

/** A folder where a reference is, or should be. */
export interface Place {
  readonly backend: LibraryBackend;
  /** `environment` and `config` are the user's word: what is wrong there is an error, not a reason to look elsewhere. */
  readonly kind: 'environment' | 'config' | 'npm' | 'cache' | 'folder';
  readonly folder: string;
  /** What a person would call it. */
  readonly origin: string;
}

const EXACT_VERSION = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

/** Whether this platform has a CPU build in an npm package that the bridge can check. */
export function hasLlamaPackage(): boolean {
  return process.platform === 'linux' && process.arch === 'x64';
}

/**
 * Where a backend's library is taken from: its variable, else the configuration file; for llama.cpp else the npm package, else
 * what `fetch-cpp` put into the cache folder.
 *
 * @returns undefined where nothing is set or installed
 * @throws BridgeError BRIDGE_BAD_CONFIG
 */
export async function configuredPlace(backend: LibraryBackend, env: Environment): Promise<Place | undefined> {
  const variable = FOLDER_VARIABLE[backend];
  const fromEnvironment = env[variable];
  if (fromEnvironment !== undefined && fromEnvironment !== '') {
    if (!isAbsolute(fromEnvironment)) {
      throw new BridgeError('BRIDGE_BAD_CONFIG', `${variable} is ${fromEnvironment}; it must be an absolute path.`);
    }
    const folder = resolve(fromEnvironment);
    return { backend, kind: 'environment', folder, origin: `${variable} (${folder})` };
  }
  const fromFile = (await readConfigFile(env))[variable];
  if (fromFile !== undefined) {
    const folder = resolve(fromFile);
    return { backend, kind: 'config', folder, origin: `${variable} of ${configFile(env)} (${folder})` };
  }
  if (backend === 'bitnet') return undefined;
  return (await installedPackage()) ?? (await existing([fetchedLlama(env, NPM_VERSION)]))[0];
}

/**
 * Where else a reference may be: what `fetch-cpp` fetched, and where people keep such things. Only folders that are there.
 * Nothing uses them unasked; `setup-cpp-auto` proposes them.
 */
export async function usualPlaces(backend: LibraryBackend, env: Environment): Promise<readonly Place[]> {
  const cache = join(cacheFolder(env), backend);
  const fetched = (await namesIn(cache)).toSorted().flatMap((name): readonly Place[] => {
    const folder = join(cache, name);
    if (backend === 'llama') return EXACT_VERSION.test(name) ? [fetchedLlama(env, name)] : [];
    return [{ backend, kind: 'cache', folder, origin: `fetched into ${folder}` }];
  });
  const names = backend === 'llama' ? ['llama.cpp'] : ['bitnet.cpp', 'BitNet'];
  const parents = ['', 'src', 'git', 'code', 'projects'].map((name) => join(home(env), name));
  // The last ones are those of the system that Bittern replaces.
  const others =
    backend === 'llama' ? ['/usr/local', '/usr', '/opt/llama.cpp'] : [join(home(env), '.cache', 'bitnet_cpp')];
  const folders = [...parents.flatMap((parent) => names.map((name) => join(parent, name))), ...others];
  return existing([
    ...fetched,
    ...folders.map((folder): Place => ({ backend, kind: 'folder', folder, origin: `found in ${folder}` })),
  ]);
}

/**
 * Where `fetch-cpp --backend llama` puts a version of the npm package.
 *
 * @throws RangeError where it is no exact version: it becomes a part of a path and an argument of npm
 */
export function fetchedLlamaFolder(env: Environment, version: string = NPM_VERSION): string {
  if (!EXACT_VERSION.test(version)) {
    throw new RangeError(`${JSON.stringify(version)} is no exact version, such as ${NPM_VERSION}.`);
  }
  return join(cacheFolder(env), 'llama', version);
}

export function fetchedLlama(env: Environment, version: string): Place {
  const folder = binaries(join(fetchedLlamaFolder(env, version), 'node_modules', NPM_PACKAGE));
  return { backend: 'llama', kind: 'cache', folder, origin: `fetched npm package ${NPM_PACKAGE} ${version}` };
}

async function installedPackage(): Promise<Place | undefined> {
  if (!hasLlamaPackage()) return undefined;
  let entry: string;
  try {
    // Its package.json is no export of it.
    entry = createRequire(import.meta.url).resolve(NPM_PACKAGE);
  } catch {
    return undefined;
  }
  const root = dirname(dirname(entry));
  return {
    backend: 'llama',
    kind: 'npm',
    folder: binaries(root),
    origin: `npm package ${NPM_PACKAGE}${await versionOf(root)}`,
  };
}

/** For a person; nothing where the package does not tell. */
async function versionOf(packageFolder: string): Promise<string> {
  try {
    const { version } = JSON.parse(await readFile(join(packageFolder, 'package.json'), 'utf8')) as {
      version?: unknown;
    };
    return typeof version === 'string' ? ` ${version}` : '';
  } catch {
    return '';
  }
}

/** Where a platform package has its libraries. */
function binaries(packageFolder: string): string {
  return join(packageFolder, 'bins', 'linux-x64');
}

async function existing(places: readonly Place[]): Promise<readonly Place[]> {
  const exist = await Promise.all(
    places.map(async ({ folder }) => {
      try {
        return (await stat(folder)).isDirectory();
      } catch {
        return false;
      }
    }),
  );
  return places.filter((_, index) => exist[index]);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
}
