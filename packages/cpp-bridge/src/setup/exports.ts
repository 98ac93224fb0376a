import { dirname } from 'node:path';
import { FOLDER_VARIABLE } from '../config-file.ts';
import type { LibraryBackend } from '../library.ts';
import { canStandInPath, LOADER_PATH, withFolders } from '../loader-path.ts';
import type { Environment } from '../paths.ts';
import { exportStatement, type Shell } from './quote.ts';

/** A reference that was found and checked. */
export interface UsableReference {
  readonly backend: LibraryBackend;
  readonly folder: string;
  /** Absolute paths of its shared libraries. */
  readonly libraries: readonly string[];
}

export interface Exports {
  /** By name, in the order in which they are written. */
  readonly variables: Readonly<Record<string, string>>;
  /** Folders that cannot stand in the loader's path, where colon and semicolon separate. */
  readonly leftOut: readonly string[];
}

/**
 * The variables that make references known: their folders, and the loader's path with theirs in front of what `env` has. Twice is
 * the same as once.
 */
export function exportsFor(references: readonly UsableReference[], env: Environment): Exports {
  const variables: Record<string, string> = {};
  for (const { backend, folder } of references) variables[FOLDER_VARIABLE[backend]] = folder;
  const folders = [...new Set(references.flatMap(({ libraries }) => libraries.map((path) => dirname(path))))];
  const path = withFolders(folders, env);
  if (path !== undefined && folders.some(canStandInPath)) variables[LOADER_PATH] = path;
  return { variables, leftOut: folders.filter((folder) => !canStandInPath(folder)) };
}

/**
 * The statements that set variables, each ended by a line break.
 *
 * @throws BridgeError BRIDGE_UNSUPPORTED where the shell has no safe way to write a value
 */
export function exportStatements(shell: Shell, { variables }: Exports): string {
  const end = shell === 'cmd' ? '\r\n' : '\n';
  return Object.entries(variables)
    .map(([name, value]) => exportStatement(shell, name, value) + end)
    .join('');
}
