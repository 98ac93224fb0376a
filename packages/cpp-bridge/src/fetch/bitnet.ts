import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { BridgeError } from '../errors.ts';
import { inspect } from '../inspect.ts';
import { cacheFolder, type Environment } from '../paths.ts';
import type { Place } from '../places.ts';
import type { FetchOptions } from './llama.ts';
import { removeFetched } from './remove.ts';
import { refuseUnknownOptions } from '../unknown-options.ts';
import { digestsOf, readRecord, writeRecord } from './record.ts';
import { runCommand } from './run-command.ts';

/** Source and build of a bitnet.cpp: all of it the user's choice. */
export interface BitnetSource {
  /** What git can clone. */
  readonly repo: string;
  /** The whole digest of a commit. */
  readonly commit: string;
  /** Given to `sh -c` in the folder. */
  readonly build: string;
  /** Where it shall be; it must not exist, or be empty. Default: a folder in the user's cache folder. */
  readonly folder?: string | undefined;
}

/**
 * Clones a commit of a bitnet.cpp with its submodules, runs the user's build command in it, and records commit and digests. A build
 * bakes its own path into its libraries, so all of it happens where it shall stay; after a failure the folder is left for a look,
 * with a record that has no digests, and `force` starts over.
 *
 * @returns where it is; it has not been run yet
 * @throws BridgeError BRIDGE_FETCH_FAILED; rejects with `signal.reason`
 */
export async function fetchBitnet(
  { repo, commit, build, folder: wanted }: BitnetSource,
  { env, force = false, signal, onProgress, onOutput, ...unknown }: FetchOptions,
): Promise<Place> {
  refuseUnknownOptions(unknown);
  checkCommit(commit);
  if (repo === '' || build.trim() === '') throw new RangeError('Repository and build command must not be empty.');
  const folder = wanted === undefined ? bitnetFolder(env, commit) : resolve(wanted);
  const place: Place = {
    backend: 'bitnet',
    kind: 'cache',
    folder,
    origin: `bitnet.cpp ${commit.slice(0, 12)} in ${folder}`,
  };
  const source = { kind: 'git', repo, commit, build } as const;

  const before = await readRecord(folder);
  if (before?.files !== undefined && !force) {
    if (isDeepStrictEqual(before.source, source)) {
      onProgress?.(`${place.origin} is already built`);
      return place;
    }
    throw failed(`${folder} was made from another source or with another build command. Give --force to replace it.`);
  }
  if (before !== undefined) {
    if (!force)
      throw failed(`${folder} is left from a build that failed. Give --force to start over, --clean to remove it.`);
    await removeFetched(folder);
  }
  await refuseOccupied(folder);
  await mkdir(folder, { recursive: true });
  const git = (...args: readonly string[]): Promise<string> =>
    runCommand('git', args, { cwd: folder, signal, onOutput, env: { ...env, GIT_TERMINAL_PROMPT: '0' } });
  onProgress?.(`Cloning ${repo} into ${folder}`);
  // Not from a template: hooks of the user have no business here.
  try {
    await git('clone', '--no-checkout', '--template=', '--', repo, '.');
  } catch (error) {
    // git has removed what it made; the folder was ours.
    await rmdir(folder).catch(() => {});
    throw error;
  }
  await writeRecord(folder, { version: 1, backend: 'bitnet', source });
  await git('-c', 'advice.detachedHead=false', 'checkout', '--detach', commit, '--');
  await git('submodule', 'update', '--init', '--recursive');
  const head = (await git('rev-parse', 'HEAD')).trim();
  if (head !== commit) throw failed(`${repo} has ${head} checked out, not ${commit}`);

  onProgress?.(`Building in ${folder}: ${build}`);
  await runCommand('sh', ['-c', build], { cwd: folder, env, signal, onOutput });
  const { files, error } = await inspect(place, { ...(signal && { signal }) });
  if (files.length === 0) throw error!;
  await writeRecord(folder, { version: 1, backend: 'bitnet', source, files: await digestsOf(folder, files) });
  return place;
}

/**
 * Where a build goes for which no folder is given.
 *
 * @throws RangeError
 */
export function bitnetFolder(env: Environment, commit: string): string {
  checkCommit(commit);
  return join(cacheFolder(env), 'bitnet', commit);
}

function checkCommit(commit: string): void {
  if (/^[\da-f]{40}([\da-f]{24})?$/.test(commit)) return;
  throw new RangeError(
    `${JSON.stringify(commit)} is no commit: give all 40 (or 64) hexadecimal digits; a branch moves.`,
  );
}

async function refuseOccupied(folder: string): Promise<void> {
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (names.length > 0) {
    throw failed(`${folder} is not empty, and fetch-cpp did not make it. Give another --dir; it is never overwritten.`);
  }
}

function failed(message: string): BridgeError {
  return new BridgeError('BRIDGE_FETCH_FAILED', message);
}
