import { fail, type Gate, pass } from '../gate.ts';
import { knownKernel } from '../registry.ts';

/** Every kernel that was counted or chosen exists, and is counted once. */
export const registry: Gate = {
  name: 'registry',
  check({ predicate: { counters, kernels } }) {
    for (const [phase, list] of Object.entries(counters)) {
      const ids = list.map(({ id }) => id);
      const unknown = ids.find((id) => knownKernel(id) === undefined);
      if (unknown !== undefined) return fail(`no kernel is called ${JSON.stringify(unknown)} (${phase})`);
      const twice = ids.find((id, index) => ids.indexOf(id) < index);
      if (twice !== undefined) return fail(`${twice} is counted twice (${phase})`);
    }
    for (const id of [kernels.gemv, kernels.gemm]) {
      if (knownKernel(id) === undefined) return fail(`no kernel is called ${JSON.stringify(id)}, which was chosen`);
    }
    return pass('all kernels are registered');
  },
};
