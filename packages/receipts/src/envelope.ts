import { ReceiptError } from './errors.ts';
import { type JsonSchema, schemaFault } from './json-schema.ts';

/** A signed receipt: a DSSE envelope (github.com/secure-systems-lab/dsse, protocol v1.0.2) of one signature. */
export interface Envelope {
  /** The canonical bytes of the statement. */
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
  /** A hint, which is not signed: the SHA-256 of the public key (SPKI, DER). */
  readonly keyId: string;
}

const PAYLOAD_TYPE = 'application/vnd.in-toto+json';

const BASE64: JsonSchema = { type: 'string', pattern: '^[A-Za-z0-9+/]*={0,2}$' };
const SCHEMA: JsonSchema = {
  type: 'object',
  required: ['payloadType', 'payload', 'signatures'],
  additionalProperties: false,
  properties: {
    payloadType: { const: PAYLOAD_TYPE },
    payload: BASE64,
    signatures: {
      type: 'array',
      minItems: 1,
      maxItems: 1,
      items: {
        type: 'object',
        required: ['keyid', 'sig'],
        additionalProperties: false,
        properties: { keyid: { type: 'string', pattern: '^[0-9a-f]{64}$' }, sig: BASE64 },
      },
    },
  },
};

export function isEnvelope(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'payloadType');
}

/** @throws {ReceiptError} RECEIPTS_INVALID */
export function openEnvelope(value: unknown): Envelope {
  const fault = schemaFault(SCHEMA, value);
  if (fault !== undefined) throw invalid(fault);
  const { payload, signatures } = value as { payload: string; signatures: [{ keyid: string; sig: string }] };
  const [{ keyid, sig }] = signatures;
  return { payload: fromBase64(payload), signature: fromBase64(sig), keyId: keyid };
}

export function envelopeJson({ payload, signature, keyId }: Envelope): string {
  const signatures = [{ keyid: keyId, sig: toBase64(signature) }];
  return `${JSON.stringify({ payloadType: PAYLOAD_TYPE, payload: toBase64(payload), signatures })}\n`;
}

/** What is signed: DSSE's pre-authentication encoding. */
export function signedBytes(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new TextEncoder().encode(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `);
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let index = 0; index < bytes.length; index++) bytes[index] = binary.charCodeAt(index);
    return bytes;
  } catch (cause) {
    throw invalid('its payload or signature is no base64', { cause });
  }
}

function invalid(fault: string, options?: ErrorOptions): ReceiptError {
  return new ReceiptError('RECEIPTS_INVALID', `This is no signed receipt: ${fault}.`, options);
}
