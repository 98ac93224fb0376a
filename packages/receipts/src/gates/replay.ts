import { fail, type Gate, notApplicable, onlyOfBenchmarks, pass } from '../gate.ts';

/** Run again, it gives the same ids, from the same logits bit for bit. */
export const replay: Gate = {
  name: 'replay',
  check({ predicate: { generated }, wanted: { replay: evidence } }) {
    if (evidence === undefined) return notApplicable('it was not run again');
    if (evidence === 'skipped') return notApplicable('other gates failed, so it was not run again');
    const { tokens, ids, logitsSha256 } = evidence;
    if (!(tokens > 0)) return fail('no ids were generated again');
    if (tokens > generated.ids.length)
      return fail(`${tokens} ids were to be compared, and it has ${generated.ids.length}`);
    if (ids.length !== tokens || logitsSha256.length !== tokens)
      return fail(`${ids.length} of ${tokens} ids were generated again`);
    for (let index = 0; index < tokens; index++) {
      if (ids[index] !== generated.ids[index]) {
        return fail(`id ${index + 1} is ${ids[index]} when run again, in the receipt ${generated.ids[index]}`);
      }
      if (logitsSha256[index] !== generated.logitsSha256[index]) {
        return fail(`the logits of id ${index + 1} are others when run again`);
      }
    }
    return pass(`${tokens} ids and the digests of their logits are the same when run again`);
  },
  checkParity: ({ wanted }) => onlyOfBenchmarks(wanted.replay !== undefined),
};
