import { type Envelope, isEnvelope, openEnvelope } from './envelope.ts';
import { ReceiptError } from './errors.ts';
import { requireReceipt } from './schema.ts';
import type { ParityStatement, ReceiptStatement } from './statement.ts';

/** Larger than any that is written; bounds what reading one takes. */
export const MOST_RECEIPT_BYTES: number = 64 << 20;

/** A file that has the form of a receipt. Whether it is to be believed, {@link verifyReceipt} says. */
export interface ReadReceipt {
  readonly statement: ReceiptStatement | ParityStatement;
  /** The statement's text in the file, or in the envelope. */
  readonly text: string;
  /** Undefined where it is not signed. */
  readonly envelope: Envelope | undefined;
}

/**
 * Reads a receipt, signed or not.
 *
 * @throws {ReceiptError} RECEIPTS_TOO_LARGE, RECEIPTS_NOT_JSON, RECEIPTS_INVALID
 */
export function readReceipt(bytes: Uint8Array): ReadReceipt {
  if (bytes.length > MOST_RECEIPT_BYTES) {
    const message = `The receipt has ${bytes.length} bytes; the largest that is read has ${MOST_RECEIPT_BYTES}.`;
    throw new ReceiptError('RECEIPTS_TOO_LARGE', message);
  }
  const text = decode(bytes);
  const value = parse(text);
  if (!isEnvelope(value)) return { statement: requireReceipt(value), text, envelope: undefined };
  const envelope = openEnvelope(value);
  const payload = decode(envelope.payload);
  return { statement: requireReceipt(parse(payload)), text: payload, envelope };
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new ReceiptError('RECEIPTS_NOT_JSON', 'The receipt is not UTF-8.', { cause });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ReceiptError('RECEIPTS_NOT_JSON', `The receipt is not JSON: ${why}.`, { cause });
  }
}
