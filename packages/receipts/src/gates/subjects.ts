import { canonicalJson } from '../canonical-json.ts';
import { type Checked, fail, type Gate, type Outcome, pass } from '../gate.ts';
import { subjectsOf } from '../seal.ts';

/** The statement is about the files of which its predicate tells. */
export const subjects: Gate = { name: 'subjects', check, checkParity: check };

function check({ statement, predicate }: Checked): Outcome {
  const expected = subjectsOf(predicate);
  const digests = expected.map((subject) => subject.digest.sha256);
  if (new Set(digests).size < digests.length) return fail('two of its subjects have the same digest');
  if (canonicalJson(statement.subject) !== canonicalJson(expected)) {
    return fail('its subjects are not the model, the tokenizer and the kernels of which the predicate tells');
  }
  return pass(`${expected.length} subjects, with the digests of the predicate`);
}
