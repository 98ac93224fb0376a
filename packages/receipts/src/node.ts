import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import { envelopeJson, signedBytes } from './envelope.ts';
import { ReceiptError } from './errors.ts';
import type { VerifyingKey } from './gate.ts';
import { readReceipt } from './read.ts';

/** The holder of a private key. */
export interface SigningKey {
  /** SHA-256 of the public key (SPKI, DER). */
  readonly id: string;
  sign(message: Uint8Array): Uint8Array<ArrayBuffer>;
}

/**
 * The key with which receipts are signed.
 *
 * @param privateKey - an ed25519 key, PEM (`openssl genpkey -algorithm ed25519`)
 * @throws {ReceiptError} RECEIPTS_BAD_KEY
 */
export function signingKey(privateKey: string | Uint8Array): SigningKey {
  const key = keyOf(privateKey, createPrivateKey, 'private');
  return { id: keyIdOf(createPublicKey(key)), sign: (message) => new Uint8Array(sign(null, message, key)) };
}

/**
 * Signs a receipt: a DSSE envelope around its canonical bytes.
 *
 * @param receipt - as `sealReceipt` made it
 * @throws {ReceiptError} as {@link readReceipt}
 */
export function signReceipt(receipt: Uint8Array, key: SigningKey): Uint8Array<ArrayBuffer> {
  const payload = new TextEncoder().encode(canonicalJson(readReceipt(receipt).statement));
  const signature = key.sign(signedBytes(payload));
  return new TextEncoder().encode(envelopeJson({ payload, signature, keyId: key.id }));
}

/**
 * The key with which signatures are verified.
 *
 * @param publicKey - an ed25519 key, PEM (`openssl pkey -pubout`)
 * @throws {ReceiptError} RECEIPTS_BAD_KEY
 */
export function verifyingKey(publicKey: string | Uint8Array): VerifyingKey {
  const key = keyOf(publicKey, createPublicKey, 'public');
  return { id: keyIdOf(key), verify: (message, signature) => verify(null, message, key, signature) };
}

function keyIdOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

function keyOf(
  pem: string | Uint8Array,
  create: (pem: string | Buffer) => KeyObject,
  type: 'private' | 'public',
): KeyObject {
  let key: KeyObject;
  try {
    key = create(typeof pem === 'string' ? pem : Buffer.from(pem));
  } catch (cause) {
    throw new ReceiptError('RECEIPTS_BAD_KEY', `This is no ${type} key in PEM.`, { cause });
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new ReceiptError('RECEIPTS_BAD_KEY', `This is a key for ${key.asymmetricKeyType}; an ed25519 key is needed.`);
}
