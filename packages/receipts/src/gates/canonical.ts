import { canonicalJson } from '../canonical-json.ts';
import { envelopeJson } from '../envelope.ts';
import { type Checked, fail, type Gate, type Outcome, pass } from '../gate.ts';

/** One receipt has one text: no key twice, no other order, no number that reads differently elsewhere. */
export const canonical: Gate = { name: 'canonical', check, checkParity: check };

function check({ statement, text, envelope, envelopeText }: Checked): Outcome {
  if (envelope !== undefined) {
    const whole = envelopeJson(envelope);
    if (envelopeText !== whole && `${envelopeText}\n` !== whole)
      return fail('the envelope of its signature is not the only text for what that says');
  }
  const expected = canonicalJson(statement);
  if (text === expected || text === `${expected}\n`) return pass('its bytes are canonical JSON (RFC 8785)');
  return fail('its bytes are not the canonical JSON (RFC 8785) of what they say');
}
