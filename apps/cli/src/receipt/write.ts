import { constants } from 'node:fs';
import { access, open, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type SigningKey, signingKey, signReceipt } from '@bittern/receipts/node';
import { codeOf, inFile, UsageError } from '../errors.ts';

/** Writes what was sealed. */
export type ReceiptWriter = (sealed: Uint8Array) => Promise<void>;

/** Checks first that a receipt can be written and signed, before anything takes long. */
export async function receiptWriter(path: string, keyPath: string | undefined): Promise<ReceiptWriter> {
  await requireWritable(path);
  const key = keyPath === undefined ? undefined : await readSigningKey(keyPath);
  return (sealed) => writeFile(path, key ? signReceipt(sealed, key) : sealed);
}

async function readSigningKey(path: string): Promise<SigningKey> {
  try {
    return signingKey(await readFile(path));
  } catch (error) {
    throw inFile(path, error);
  }
}

/** Leaves what is there as it is, and nothing where nothing is. */
async function requireWritable(path: string): Promise<void> {
  if (path === '' || /[/\\]$/.test(path)) throw new UsageError(`--receipt wants the path of a file, not "${path}".`);
  try {
    const file = await open(path, 'r+'); // a folder, or a file that must not be written, is refused here
    await file.close();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    await access(dirname(path), constants.W_OK | constants.X_OK);
  }
}
