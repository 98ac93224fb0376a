import { type Checked, fail, type Gate, type Outcome, pass } from '../gate.ts';
import { digestOf } from '../seal.ts';

/** Whether it is as it was sealed. Whoever changes it can seal it again: that is what the other gates are for. */
export const digest: Gate = { name: 'digest', check, checkParity: check };

async function check({ statement, predicate }: Checked): Promise<Outcome> {
  const computed = await digestOf(statement);
  if (computed === predicate.digest) return pass(`SHA-256 ${computed}`);
  return fail(`it was changed after it was sealed: it says ${predicate.digest}, and has ${computed}`);
}
