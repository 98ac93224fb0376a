import { fail, type Gate, pass } from '../gate.ts';
import type { ReceiptCounter } from '../statement.ts';

/** Sums of many floats; the clock's own steps are nanoseconds. */
const RELATIVE_ERROR = 1e-9;

/** No model is opened and loaded in less. */
const LEAST_LOAD_MS = 0.1;

/** The parts of a time are not longer than the whole. */
export const time: Gate = {
  name: 'time',
  check({ predicate: { runs, counters, loadMs } }) {
    if (!(loadMs >= LEAST_LOAD_MS)) return fail(`the model was loaded in ${loadMs} ms`);
    for (const [index, { prefillMs, firstTokenMs, decodeMs, wallMs }] of runs.entries()) {
      const run = `run ${index + 1}`;
      if (!(prefillMs <= firstTokenMs)) return fail(`${run} had its first id before the prompt was evaluated`);
      const parts = firstTokenMs + sum(decodeMs);
      if (!(parts <= wallMs * (1 + RELATIVE_ERROR))) {
        return fail(`${run} took ${wallMs} ms, and its parts together ${parts} ms`);
      }
    }
    const wall = {
      prefill: sum(runs.map(({ prefillMs }) => prefillMs)),
      decode: sum(runs.flatMap(({ decodeMs }) => decodeMs)),
    };
    for (const phase of ['prefill', 'decode'] as const) {
      const timed = counters[phase];
      const untimed = timed.find(({ nanoseconds }) => nanoseconds === 0);
      if (untimed) return fail(`${untimed.id} took no time (${phase})`);
      // Each is rounded to a nanosecond. Time is that of the first thread, so there is no factor for their number.
      const most = wall[phase] * 1e6 * (1 + RELATIVE_ERROR) + timed.length;
      const kernels = nanosecondsOf(timed);
      if (!(kernels <= most)) return fail(`kernels took ${kernels} ns in ${wall[phase]} ms (${phase})`);
    }
    return pass('kernels took no longer than the evaluations, and these no longer than the runs');
  },
};

function nanosecondsOf(counters: readonly ReceiptCounter[]): number {
  return counters.reduce((total, { nanoseconds }) => total + nanoseconds, 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
