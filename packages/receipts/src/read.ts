import { type Envelope, isEnvelope, openEnvelope } from './envelope.ts';
import { ReceiptError } from './errors.ts';
import { cut } from './quoted.ts';
import { requireReceipt } from './schema.ts';
import type { ParityStatement, ReceiptStatement } from './statement.ts';

/** Larger than any that is written; bounds what reading one takes. */
export const MOST_RECEIPT_BYTES: number = 8 << 20;

/** Lists and objects in each other: a statement's predicate has a matrix in the seventh. */
const MOST_DEPTH = 8;

/** A file that has the form of a receipt. Whether it is to be believed, {@link verifyReceipt} says. */
export interface ReadReceipt {
  readonly statement: ReceiptStatement | ParityStatement;
  /** The statement's text in the file, or in the envelope. */
  readonly text: string;
  /** Undefined where it is not signed. */
  readonly envelope: Envelope | undefined;
  /** The file's text, where that is an envelope. */
  readonly envelopeText: string | undefined;
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
  if (!isEnvelope(value))
    return { statement: requireReceipt(value), text, envelope: undefined, envelopeText: undefined };
  const envelope = openEnvelope(value);
  const payload = decode(envelope.payload);
  return { statement: requireReceipt(parse(payload)), text: payload, envelope, envelopeText: text };
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new ReceiptError('RECEIPTS_NOT_JSON', 'The receipt is not UTF-8.', { cause });
  }
}

function parse(text: string): unknown {
  if (depthOf(text) > MOST_DEPTH) {
    throw new ReceiptError('RECEIPTS_INVALID', `This is no receipt: it nests deeper than ${MOST_DEPTH}.`);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ReceiptError('RECEIPTS_NOT_JSON', `The receipt is not JSON: ${cut(why)}.`, { cause });
  }
}

/** How deep lists and objects lie in each other, if it is JSON; looked at before anything is made of them. */
function depthOf(text: string): number {
  let [depth, deepest, inString] = [0, 0, false];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (inString) {
      if (character === '\\') at++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth);
    else if (character === ']' || character === '}') depth--;
  }
  return deepest;
}
