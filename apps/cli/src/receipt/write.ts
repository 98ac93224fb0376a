import { constants } from 'node:fs';
import { access, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type SigningKey, signingKey, signReceipt } from '@bittern/receipts/node';
import { inFile } from '../errors.ts';

/** Writes what was sealed. */
export type ReceiptWriter = (sealed: Uint8Array) => Promise<void>;

/** Checks first that a receipt can be written and signed, before anything takes long. */
export async function receiptWriter(path: string, keyPath: string | undefined): Promise<ReceiptWriter> {
  await access(dirname(path), constants.W_OK);
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
