import { canonicalJson } from '../canonical-json.ts';
import { type Checked, fail, type Gate, type Outcome, pass } from '../gate.ts';

/** One receipt has one text: no key twice, no other order, no number that reads differently elsewhere. */
export const canonical: Gate = { name: 'canonical', check, checkParity: check };

function check({ statement, text }: Checked): Outcome {
  const expected = canonicalJson(statement);
  if (text === expected || text === `${expected}\n`) return pass('its bytes are canonical JSON (RFC 8785)');
  return fail('its bytes are not the canonical JSON (RFC 8785) of what they say');
}
