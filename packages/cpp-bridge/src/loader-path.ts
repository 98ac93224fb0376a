import { dirname } from 'node:path';
import type { ReferenceLibrary } from './library.ts';
import type { Environment } from './paths.ts';

/** Where the dynamic loader of Linux looks before it looks anywhere else, a library's own RUNPATH included. */
export const LOADER_PATH = 'LD_LIBRARY_PATH';

/**
 * The loader's path with these folders in front of what it has; none of them twice.
 *
 * @returns undefined where it would be empty
 */
export function withFolders(folders: readonly string[], env: Environment): string | undefined {
  const own = [...new Set(folders)].filter(canStandInPath);
  const before = env[LOADER_PATH] === undefined || env[LOADER_PATH] === '' ? [] : env[LOADER_PATH].split(':');
  const all = [...own, ...before.filter((folder) => !own.includes(folder))];
  return all.length === 0 ? undefined : all.join(':');
}

/** Both characters separate the folders of the path. */
export function canStandInPath(folder: string): boolean {
  return !/[:;]/.test(folder);
}

/**
 * What a child that loads a reference has in its environment: the path may name the folders of another reference, which has
 * libraries of the same names (`setup-cpp-auto` names those of both), so its own come first.
 */
export function loaderEnvironment({ files: { llama, ggml, ggmlBase } }: ReferenceLibrary): Record<string, string> {
  const folders = [llama, ggml, ggmlBase].flatMap((path) => (path === undefined ? [] : dirname(path)));
  const path = withFolders(folders, process.env);
  return path === undefined ? {} : { [LOADER_PATH]: path };
}
