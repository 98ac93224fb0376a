import { access, lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BridgeError } from '../errors.ts';
import { RECORD_FILE } from './record.ts';

/**
 * Removes a folder that `fetch-cpp` made. Nothing else is removed: it must have a record, and be no link.
 *
 * @returns whether there was one
 * @throws BridgeError BRIDGE_FETCH_FAILED
 */
export async function removeFetched(folder: string): Promise<boolean> {
  const isFolder = await lstat(folder).then(
    (entry) => entry.isDirectory(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    },
  );
  if (isFolder === undefined) return false;
  const hasRecord = await access(join(folder, RECORD_FILE)).then(
    () => true,
    () => false,
  );
  if (!isFolder || !hasRecord) {
    const why = isFolder ? `it has no ${RECORD_FILE}` : 'it is no folder';
    throw new BridgeError('BRIDGE_FETCH_FAILED', `${folder} is not removed: fetch-cpp did not make it (${why}).`);
  }
  await rm(folder, { recursive: true });
  return true;
}
