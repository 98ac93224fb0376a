import { canonicalJson } from '../canonical-json.ts';
import { fail, type Gate, notApplicable, pass } from '../gate.ts';

/** The model that the verifier has is the one that ran, and its tokenizer makes the prompt's ids. */
export const model: Gate = {
  name: 'model',
  check({ predicate, wanted: { model: evidence } }) {
    if (evidence === undefined) return notApplicable('no model was given to compare with');
    const { files, architecture, quantization, config } = evidence.model;
    const digests = (list: readonly { readonly sha256: string; readonly bytes: number }[]): string =>
      list.map(({ sha256, bytes }) => `${sha256} of ${bytes} bytes`).join(', ');
    // Names may differ: another machine, another folder.
    if (digests(files) !== digests(predicate.model.files)) {
      return fail(
        `another file: its digest is ${digests(files)}, that of the receipt ${digests(predicate.model.files)}`,
      );
    }
    const { architecture: said, quantization: type, config: shape } = predicate.model;
    if (canonicalJson([architecture, quantization, config]) !== canonicalJson([said, type, shape])) {
      return fail('the file has another architecture, shape or type of weights than the receipt says');
    }
    if (evidence.tokenizerSha256 !== predicate.tokenizer.sha256) {
      return fail(`another tokenizer: ${evidence.tokenizerSha256}, in the receipt ${predicate.tokenizer.sha256}`);
    }
    if (evidence.promptIds.join() !== predicate.prompt.ids.join()) return fail("the prompt's text has other ids");
    return pass('file, shape, tokenizer and ids of the prompt are those of the model');
  },
};
