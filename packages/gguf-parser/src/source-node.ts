import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { GgufError } from './errors.ts';
import type { GgufSource } from './source.ts';
import { checkRange } from './source.ts';
import { joinSources, shardNames } from './split.ts';

/** A file read by position; nothing is kept in memory. Close it when done, or declare it with `await using`. */
export interface FileSource extends GgufSource {
  /** Idempotent. Reads after it reject. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Bytes per system call: below the 2 GiB that one call can read at most, and often enough to notice an abort. */
const CHUNK_BYTES = 64 * 2 ** 20;

/**
 * Opens a file for `openGguf`, which never closes it: tensors are read from it later. The path of any file of a split
 * model (`x-00001-of-00003.gguf`) opens all of them as one source. A FileHandle stays its owner's: `close` leaves it open.
 *
 * @throws the file system's error if it cannot be opened; GgufError GGUF_NOT_A_FILE for a folder or a device
 */
export async function openFile(file: string | FileHandle): Promise<FileSource> {
  if (typeof file !== 'string') {
    return fileSource(file, `file descriptor ${file.fd}`, async () => {});
  }
  const paths = shardNames(file);
  return paths === undefined ? openPath(file) : openPaths(paths);
}

async function openPath(path: string): Promise<FileSource> {
  const handle = await open(path, 'r');
  try {
    return await fileSource(handle, path, () => handle.close());
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openPaths(paths: readonly string[]): Promise<FileSource> {
  const parts: FileSource[] = [];

  async function close(): Promise<void> {
    await Promise.all(parts.map((part) => part.close()));
  }

  try {
    for (const path of paths) {
      parts.push(await openPath(path));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { ...joinSources(parts), close, [Symbol.asyncDispose]: close };
}

async function fileSource(handle: FileHandle, name: string, release: () => Promise<void>): Promise<FileSource> {
  const stats = await handle.stat();
  if (!stats.isFile()) {
    throw new GgufError('GGUF_NOT_A_FILE', `${name} is not a regular file. Give the path of a .gguf file.`);
  }
  let closed = false;

  async function read(offsetBytes: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (closed) {
      throw new TypeError(`${name} is closed; open it again to read from it.`);
    }
    checkRange(offsetBytes, lengthBytes, stats.size);
    const bytes = new Uint8Array(lengthBytes);
    let done = 0;
    while (done < lengthBytes) {
      signal?.throwIfAborted();
      const wanted = Math.min(CHUNK_BYTES, lengthBytes - done);
      const { bytesRead } = await handle.read(bytes, done, wanted, offsetBytes + done);
      if (bytesRead === 0) {
        break; // the file shrank; the caller sees the short result
      }
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  }

  async function close(): Promise<void> {
    if (!closed) {
      closed = true;
      await release();
    }
  }

  return { name, sizeBytes: stats.size, read, close, [Symbol.asyncDispose]: close };
}
