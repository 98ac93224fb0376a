import { figuresOf } from '../figures.ts';
import { fail, type Gate, notApplicable, onlyOfBenchmarks, pass } from '../gate.ts';

/** Fast enough, by its raw samples. */
export const throughput: Gate = {
  name: 'throughput',
  check({ predicate, wanted: { minTokensPerSecond: least } }) {
    const figures = figuresOf(predicate);
    if (figures === undefined) return fail('there are no times of decode steps');
    const measured = `${figures.decodeTokensPerSecond.toFixed(2)} tokens/s in decode, by the median step`;
    if (least === undefined) return notApplicable(`${measured}; no least was given`);
    return figures.decodeTokensPerSecond >= least
      ? pass(`${measured}, of ${least} wanted`)
      : fail(`${measured}, of ${least} wanted`);
  },
  checkParity: ({ wanted }) => onlyOfBenchmarks(wanted.minTokensPerSecond !== undefined),
};
