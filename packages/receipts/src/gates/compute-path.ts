import { possibleChoices } from '../expected.ts';
import { fail, type Gate, pass } from '../gate.ts';
import { knownKernel } from '../registry.ts';
import { layerTypesOf } from '../weight-types.ts';

/** What computed is what the run says: its device, its binary, and no plain reference in a model's place. */
export const computePath: Gate = {
  name: 'compute-path',
  check({ predicate: { counters, device, kernels, model, head } }) {
    for (const [phase, list] of Object.entries(counters)) {
      if (list.length === 0) return fail(`no kernel was counted (${phase})`);
      const reference = list.find(({ id }) => knownKernel(id)?.reference);
      if (reference) return fail(`${reference.id} is a plain reference, on which no model runs (${phase})`);
      const elsewhere = list.find(({ id }) => knownKernel(id)?.device !== device);
      if (elsewhere)
        return fail(`it says that it ran on the ${device}, but ${elsewhere.id} is no kernel for that (${phase})`);
    }
    for (const product of ['gemv', 'gemm'] as const) {
      if (!possibleChoices(kernels, product).includes(kernels[product])) {
        return fail(`${kernels[product]} cannot be the ${product} kernel of the ${kernels.variant} binary`);
      }
    }
    const types = layerTypesOf(model);
    if (types.includes('TL1') && types.includes('I2_S')) return fail('no model has both I2_S and TL1 weights');
    if (types.includes('TL1') !== (model.tl1Kernel !== null)) {
      return fail(`tl1Kernel is ${model.tl1Kernel} with ${types.join(', ')} weights`);
    }
    if (types.includes('I2_S') !== (model.layout !== null)) {
      return fail(`layout is ${model.layout} with ${types.join(', ')} weights`);
    }
    if ((head.kind === 'screened') !== (head.topK !== null))
      return fail(`topK is ${head.topK} with the ${head.kind} head`);
    return pass(`kernels of the ${kernels.variant} binary, on the ${device}`);
  },
};
