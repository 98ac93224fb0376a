import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ReceiptError, verifyReceipt } from '../src/index.ts';
import { signingKey, signReceipt, verifyingKey } from '../src/node.ts';
import { EXACT, failedGates, forge } from './forge.ts';

function keys(): { readonly privateKey: string; readonly publicKey: string } {
  return generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
}

interface Envelope {
  payloadType: string;
  payload: string;
  signatures: { keyid: string; sig: string }[];
}

const ours = keys();
const key = verifyingKey(ours.publicKey);
const signed = signReceipt(EXACT, signingKey(ours.privateKey));

function changed(change: (envelope: Envelope) => void): Uint8Array {
  const envelope: Envelope = JSON.parse(Buffer.from(signed).toString());
  change(envelope);
  return Buffer.from(JSON.stringify(envelope));
}

test('a signed receipt is an envelope of its canonical bytes, and passes with the key', async () => {
  const { payloadType, payload, signatures }: Envelope = JSON.parse(Buffer.from(signed).toString());
  expect(payloadType).toBe('application/vnd.in-toto+json');
  expect(Buffer.from(payload, 'base64').toString()).toBe(EXACT.toString().trim());
  expect(signatures).toEqual([{ keyid: key.id, sig: expect.any(String) }]);
  const { verdict, gates } = await verifyReceipt(signed, { key });
  expect(verdict).toBe('pass');
  expect(gates.find(({ gate }) => gate === 'signature')).toMatchObject({ status: 'pass' });
});

test('without a key, a signature says nothing', async () => {
  const { verdict, gates } = await verifyReceipt(signed);
  expect(verdict).toBe('pass');
  expect(gates.find(({ gate }) => gate === 'signature')).toMatchObject({ status: 'not applicable' });
});

test('without a key it is only told whose it says it is', async () => {
  const { gates } = await verifyReceipt(signed);
  const { reason } = gates.find(({ gate }) => gate === 'signature')!;
  expect(reason).toBe(`it says that it is signed by ${key.id}; not checked, as no key was given`);
});

test.each<[string, (text: string) => string]>([
  ['a payload twice, first another', (text) => text.replace('"payload":', '"payload":"e30=","payload":')],
  ['white space in it', (text) => text.replace('"payload":', '"payload": ')],
  [
    'keys in another order',
    (text) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text)).toReversed())),
  ],
])('an envelope has one text, too: %s', async (_, change) => {
  const text = change(Buffer.from(signed).toString());
  expect(failedGates(await verifyReceipt(Buffer.from(text), { key }))).toEqual(['canonical']);
});

describe('rejected by the signature', () => {
  test.each<[string, () => Uint8Array]>([
    ['not signed', () => EXACT],
    ['signed by another key', () => signReceipt(EXACT, signingKey(keys().privateKey))],
    [
      "signed by another key, with our key's id",
      () => {
        const { signatures }: Envelope = JSON.parse(
          Buffer.from(signReceipt(EXACT, signingKey(keys().privateKey))).toString(),
        );
        return changed((envelope) => (envelope.signatures[0]!.sig = signatures[0]!.sig));
      },
    ],
    [
      'another payload',
      () => {
        const other = forge((_, p) => (p.host.cpu = 'another'));
        return changed((envelope) => (envelope.payload = other.toString('base64')));
      },
    ],
    [
      'a bit of the signature',
      () =>
        changed((envelope) => {
          const bytes = Buffer.from(envelope.signatures[0]!.sig, 'base64');
          bytes[10]! ^= 1;
          envelope.signatures[0]!.sig = bytes.toString('base64');
        }),
    ],
    [
      'half a signature',
      () => changed((envelope) => (envelope.signatures[0]!.sig = envelope.signatures[0]!.sig.slice(0, 44))),
    ],
    ['an empty signature', () => changed((envelope) => (envelope.signatures[0]!.sig = ''))],
  ])('%s', async (_, bytes) => {
    expect(failedGates(await verifyReceipt(bytes(), { key }))).toEqual(['signature']);
  });
});

describe('no envelope of a receipt', () => {
  test.each<[string, (envelope: Envelope) => unknown]>([
    ['another type of payload', (envelope) => (envelope.payloadType = 'application/json')],
    ['no signatures', (envelope) => (envelope.signatures = [])],
    ['two signatures', (envelope) => envelope.signatures.push(envelope.signatures[0]!)],
    ['a payload that is no receipt', (envelope) => (envelope.payload = btoa('{}'))],
    ['a payload that is no base64', (envelope) => (envelope.payload = 'A')],
    ['an envelope in an envelope', (envelope) => (envelope.payload = Buffer.from(signed).toString('base64'))],
    ['an unknown field', (envelope) => Object.assign(envelope, { verified: true })],
  ])('%s', async (_, change) => {
    const report = await verifyReceipt(changed(change), { key });
    expect(failedGates(report)).toEqual(['schema']);
  });
});

test.each([
  ['no key', 'key'],
  [
    'an RSA key',
    generateKeyPairSync('rsa', {
      modulusLength: 1024,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    }).publicKey,
  ],
])('%s is refused', (_, pem) => {
  for (const use of [() => verifyingKey(pem), () => signingKey(pem)]) {
    expect(use).toThrow(ReceiptError);
    expect(use).toThrow(expect.objectContaining({ code: 'RECEIPTS_BAD_KEY' }));
  }
});
