import { fail, type Gate, notApplicable, pass } from '../gate.ts';

/** Where a reference was compared with, every bit was the same, of this model in these numerics. */
export const parity: Gate = {
  name: 'parity',
  check({ predicate }) {
    const { parity: found, model, numerics } = predicate;
    if (found === null) return notApplicable('no reference was compared with');
    const { reference, positionsByValue, positionsByDigest, decodeSteps, differingValues, maxAbs, failures } = found;
    if (found.modelSha256 !== model.files[0]!.sha256) return fail('the reference ran another model');
    if (reference.numerics !== numerics)
      return fail(`the reference has ${reference.numerics} numerics, the run ${numerics}`);
    const positions = positionsByValue + positionsByDigest;
    if (found.cases === 0 || positions === 0 || decodeSteps === 0)
      return fail('nothing was compared with the reference');
    if (failures.length > 0) return fail(`it differs from ${reference.name}: ${failures.join(', ')}`);
    if (differingValues > 0) return fail(`${differingValues} logits differ from those of ${reference.name}`);
    if (!(maxAbs === null ? positionsByValue === 0 : maxAbs === 0)) {
      return fail(
        `the largest difference from ${reference.name} is ${maxAbs ?? 'not there, though values were compared'}`,
      );
    }
    return pass(
      `${positions} positions and ${decodeSteps} decoded ids are those of ${reference.name} ${reference.version}`,
    );
  },
};
