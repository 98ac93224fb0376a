import { signedBytes } from '../envelope.ts';
import { type Checked, fail, type Gate, notApplicable, type Outcome, pass } from '../gate.ts';

/** Whether the holder of the key signed these bytes. */
export const signature: Gate = { name: 'signature', check, checkParity: check };

function check({ envelope, wanted: { key } }: Checked): Outcome {
  if (key === undefined) {
    if (envelope === undefined) return notApplicable('it is not signed, and no key was given');
    return notApplicable(`it says that it is signed by ${envelope.keyId}; not checked, as no key was given`);
  }
  if (envelope === undefined) return fail('a key was given, but it is not signed');
  if (!key.verify(signedBytes(envelope.payload), envelope.signature)) {
    return fail(`its signature is not one of the key ${key.id}`);
  }
  return pass(`signed by the key ${key.id}`);
}
