import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ParityStatement, ReceiptStatement, VerificationReport } from '../src/index.ts';

/** A receipt that can be written to. */
export type Forgery = Mutable<ReceiptStatement>;
export type ParityForgery = Mutable<ParityStatement>;
type Mutable<T> = T extends object ? { -readonly [Key in keyof T]: Mutable<T[Key]> } : T;

export const EXACT: Buffer = fixture('exact');
export const SCREENED: Buffer = fixture('screened');
export const MIXED: Buffer = fixture('mixed');
export const PARITY: Buffer = fixture('parity');

function fixture(name: string): Buffer {
  return readFileSync(new URL(`fixtures/${name}.receipt`, import.meta.url));
}

/**
 * A receipt, changed and sealed again, as a forger would who has read our code: with the digests of its ids and its own.
 * Shares no code with what it attacks.
 */
export function forge(change: (receipt: Forgery, p: Forgery['predicate']) => void, source: Buffer = EXACT): Buffer {
  const receipt: Forgery = JSON.parse(source.toString());
  change(receipt, receipt.predicate);
  const { prompt, generated } = receipt.predicate;
  prompt.sha256 = sha256(prompt.text);
  prompt.idsSha256 = sha256(JSON.stringify(prompt.ids));
  generated.idsSha256 = sha256(JSON.stringify(generated.ids));
  return seal(receipt);
}

/** The same of a comparison. */
export function forgeParity(change: (receipt: ParityForgery, p: ParityForgery['predicate']) => void): Buffer {
  const receipt: ParityForgery = JSON.parse(PARITY.toString());
  change(receipt, receipt.predicate);
  return seal(receipt);
}

/** Only with a digest of its own. */
export function seal(receipt: Forgery | ParityForgery): Buffer {
  const { digest: _digest, ...predicate } = receipt.predicate;
  receipt.predicate.digest = sha256(sorted({ ...receipt, predicate }));
  return Buffer.from(sorted(receipt));
}

/** Not even that. */
export function edit(change: (receipt: Forgery, p: Forgery['predicate']) => void): Buffer {
  const receipt: Forgery = JSON.parse(EXACT.toString());
  change(receipt, receipt.predicate);
  return Buffer.from(sorted(receipt));
}

export function failedGates({ gates }: VerificationReport): string[] {
  return gates.filter(({ status }) => status === 'fail').map(({ gate }) => gate);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Keys of receipts are ASCII, so that any sorting will do. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
