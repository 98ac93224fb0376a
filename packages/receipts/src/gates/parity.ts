import { fail, type Gate, notApplicable, type Outcome, pass } from '../gate.ts';
import type { ParityComparison, ReceiptParity } from '../statement.ts';

/** Where a reference was compared with, every bit was the same, of this model in these numerics. */
export const parity: Gate = {
  name: 'parity',
  check({ predicate: { parity: found, model, numerics } }) {
    if (found === null) return notApplicable('no reference was compared with');
    const fault = faultOf(found, numerics, model.files[0]!.sha256);
    return fault === undefined ? passed([found]) : fail(fault);
  },
  checkParity({ predicate: { comparisons, model } }) {
    for (const found of comparisons) {
      const fault = faultOf(found, found.numerics, model.files[0]!.sha256) ?? extentFault(found);
      if (fault !== undefined) return fail(fault);
    }
    return passed(comparisons);
  },
};

function passed(comparisons: readonly ReceiptParity[]): Outcome {
  const found = comparisons.map(({ reference, positionsByValue, positionsByDigest, decodeSteps }) => {
    const positions = positionsByValue + positionsByDigest;
    const numerics = reference.numerics === null ? '' : ` (${reference.numerics})`;
    return `${positions} positions and ${decodeSteps} decoded ids are those of ${reference.name} ${reference.version}${numerics}`;
  });
  return pass(found.join('; '));
}

function faultOf(found: ReceiptParity, numerics: string, modelSha256: string): string | undefined {
  const { reference, positionsByValue, positionsByDigest, decodeSteps, differingValues, maxAbs, failures } = found;
  if (found.modelSha256 !== modelSha256) return 'the reference ran another model';
  if (reference.numerics !== numerics) return `the reference has ${reference.numerics} numerics, the run ${numerics}`;
  if (failures.length > 0) return `it differs from ${reference.name}: ${failures.join(', ')}`;
  if (found.cases === 0 || positionsByValue + positionsByDigest === 0) return 'nothing was compared with the reference';
  if (decodeSteps === 0) return 'no decoded ids were compared with the reference';
  if (differingValues > 0) {
    return `${differingValues} logits differ from those of ${reference.name}, by up to ${maxAbs}`;
  }
  if (maxAbs === null ? positionsByValue === 0 : maxAbs === 0) return undefined;
  return `the largest difference from ${reference.name} is ${maxAbs ?? 'not there, though values were compared'}`;
}

/** As many positions as the prompts have at most, and prompts that are there. */
function extentFault({ prompts, cases, positionsByValue, positionsByDigest }: ParityComparison): string | undefined {
  if (cases !== prompts.length) return `${cases} cases were compared, and there are ${prompts.length} prompts`;
  const most = prompts.reduce((sum, { mode, tokens }) => sum + (mode === 'batch-last' ? 1 : tokens), 0);
  const positions = positionsByValue + positionsByDigest;
  return positions <= most ? undefined : `${positions} positions were compared, and the prompts have ${most}`;
}
