import { canonicalJson } from '../canonical-json.ts';
import { fail, type Gate, type ModelEvidence, notApplicable, pass } from '../gate.ts';
import { cut, quoted } from '../quoted.ts';
import type { ParityPredicate } from '../statement.ts';

const SHAPE = [
  ['architecture', 'architecture'],
  ['weights', 'list of types of weights'],
  ['config', 'shape'],
  ['dialect', 'dialect of GGUF'],
] as const;

/** The model that the verifier has is the one that ran, and its tokenizer makes the prompt's ids. */
export const model: Gate = {
  name: 'model',
  check({ predicate, wanted: { model: evidence } }) {
    if (evidence === undefined) return notApplicable('no model was given to compare with');
    const fault = fileFault(evidence, predicate);
    if (fault !== undefined) return fail(fault);
    for (const [part, name] of SHAPE) {
      if (canonicalJson(evidence.model[part]) !== canonicalJson(predicate.model[part])) {
        return fail(`the file has another ${name} than the receipt says`);
      }
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
  { model: { files }, tokenizer: own }: ModelEvidence,
  { model: said, tokenizer }: Pick<ParityPredicate, 'model' | 'tokenizer'>,
): string | undefined {
  const digests = (list: readonly { readonly sha256: string; readonly bytes: number }[]): string =>
    list.map(({ sha256, bytes }) => `${sha256} of ${bytes} bytes`).join(', ');
  // Names may differ: another machine, another folder.
  if (digests(files) !== digests(said.files)) {
    return `another file: its digest is ${cut(digests(files))}, that of the receipt ${cut(digests(said.files))}`;
  }
  for (const part of ['sha256', 'model', 'pre'] as const) {
    if (own[part] !== tokenizer[part]) {
      return `another tokenizer: its ${part} is ${quoted(own[part])}, in the receipt ${quoted(tokenizer[part])}`;
    }
  }
  return undefined;
}
