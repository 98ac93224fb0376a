import { canonicalJson } from '../canonical-json.ts';
import { fail, type Gate, type ModelEvidence, notApplicable, pass } from '../gate.ts';
import type { ParityPredicate } from '../statement.ts';

/** The model that the verifier has is the one that ran, and its tokenizer makes the prompt's ids. */
export const model: Gate = {
  name: 'model',
  check({ predicate, wanted: { model: evidence } }) {
    if (evidence === undefined) return notApplicable('no model was given to compare with');
    const fault = fileFault(evidence, predicate);
    if (fault !== undefined) return fail(fault);
    const { architecture, weights, config } = evidence.model;
    const { architecture: said, weights: types, config: shape } = predicate.model;
    if (canonicalJson([architecture, weights, config]) !== canonicalJson([said, types, shape])) {
      return fail('the file has another architecture, shape or types of weights than the receipt says');
    }
    if (evidence.promptIds.join() !== predicate.prompt.ids.join()) return fail("the prompt's text has other ids");
    return pass('file, shape, tokenizer and ids of the prompt are those of the model');
  },
  checkParity({ predicate, wanted: { model: evidence } }) {
    if (evidence === undefined) return notApplicable('no model was given to compare with');
    const fault = fileFault(evidence, predicate);
    return fault === undefined ? pass('file and tokenizer are those of the model') : fail(fault);
  },
};

function fileFault(
  { model: { files }, tokenizerSha256 }: ModelEvidence,
  { model: said, tokenizer }: Pick<ParityPredicate, 'model' | 'tokenizer'>,
): string | undefined {
  const digests = (list: readonly { readonly sha256: string; readonly bytes: number }[]): string =>
    list.map(({ sha256, bytes }) => `${sha256} of ${bytes} bytes`).join(', ');
  // Names may differ: another machine, another folder.
  if (digests(files) !== digests(said.files)) {
    return `another file: its digest is ${digests(files)}, that of the receipt ${digests(said.files)}`;
  }
  return tokenizerSha256 === tokenizer.sha256
    ? undefined
    : `another tokenizer: ${tokenizerSha256}, in the receipt ${tokenizer.sha256}`;
}
