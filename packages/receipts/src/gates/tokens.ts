import { fail, type Gate, type Outcome, pass } from '../gate.ts';
import { idsSha256 } from '../seal.ts';
import { sha256 } from '../sha256.ts';
import type { ReceiptPredicate } from '../statement.ts';

/** Ids were decoded, as many as were asked for, the same in each run, each with a time and a row of logits of its own. */
export const tokens: Gate = {
  name: 'tokens',
  async check({ predicate }) {
    const { prompt, generated } = predicate;
    const fault = faultOf(predicate);
    if (fault !== undefined) return fault;
    if ((await sha256(prompt.text)) !== prompt.sha256) return fail("the digest of the prompt's text is another");
    for (const [name, { ids, idsSha256: digest }] of Object.entries({ prompt, generated })) {
      if ((await idsSha256(ids)) !== digest) return fail(`the digest of the ${name} ids is another`);
    }
    return pass(`${prompt.ids.length} ids of a prompt, ${generated.ids.length} generated, the same in each run`);
  },
};

function faultOf({ prompt, generated, runs, request, model }: ReceiptPredicate): Outcome | undefined {
  const { vocabSize, contextLength } = model.config;
  if (prompt.ids.length === 0) return fail('the prompt has no ids');
  if (generated.ids.length === 0) return fail('nothing was generated');
  if (generated.ids.length !== request.tokens) {
    return fail(`${request.tokens} ids were asked for, and ${generated.ids.length} generated`);
  }
  if (request.tokens < 2) return fail('nothing was decoded: one id comes out of the evaluation of the prompt');
  const wrong = [...prompt.ids, ...generated.ids].find((id) => !(id < vocabSize));
  if (wrong !== undefined) return fail(`the id ${wrong} is outside of the vocabulary of ${vocabSize}`);
  const length = prompt.ids.length + generated.ids.length - 1; // the last one is not evaluated
  if (length > contextLength) return fail(`${length} ids do not fit into a context of ${contextLength}`);
  if (generated.logitsSha256.length !== generated.ids.length) {
    return fail(`${generated.ids.length} ids have ${generated.logitsSha256.length} digests of logits`);
  }
  const twoIds = unequalIds(generated);
  if (twoIds !== undefined) return fail(twoIds);
  if (runs.length !== request.repeats)
    return fail(`${request.repeats} runs were asked for, and there are ${runs.length}`);
  for (const [index, { ids, decodeMs }] of runs.entries()) {
    if (ids.join() !== generated.ids.join()) return fail(`run ${index + 1} generated other ids`);
    if (decodeMs.length !== ids.length - 1) {
      return fail(
        `run ${index + 1} has ${decodeMs.length} times of decode steps for ${ids.length} ids; the first id has none`,
      );
    }
  }
  return undefined;
}

/** Decoding is greedy: the same logits give the same id. */
function unequalIds({ ids, logitsSha256 }: ReceiptPredicate['generated']): string | undefined {
  const chosen = new Map<string, number>();
  for (const [index, digest] of logitsSha256.entries()) {
    const before = chosen.get(digest);
    if (before !== undefined && before !== ids[index])
      return `the same logits gave the ids ${before} and ${ids[index]}`;
    chosen.set(digest, ids[index]!);
  }
  return undefined;
}
