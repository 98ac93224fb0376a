import { readFile } from 'node:fs/promises';
import { UnusableFileError } from './errors.ts';
import type { Io } from './io.ts';

/** A text file as it is, its last line feed included. */
export async function readTextFile(path: string, { signal }: Io): Promise<string> {
  return decodeText(path, await readFile(path, { signal }));
}

/** All of standard input as it is. */
export async function readStandardInput(io: Io): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of io.stdin) chunks.push(chunk);
  return decodeText('standard input', Buffer.concat(chunks));
}

/** @throws UnusableFileError if it is not UTF-8: a replacement would be another text, with other ids */
function decodeText(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new UnusableFileError(name, new Error('it is not UTF-8 text. Convert it to UTF-8.', { cause: error }));
  }
}
