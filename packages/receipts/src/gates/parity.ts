import { fail, type Gate, notApplicable, type Outcome, pass } from '../gate.ts';
import { cut } from '../quoted.ts';
import type { ParityComparison, ReceiptParity } from '../statement.ts';

/** Ids that a context holds at most, as everywhere in the schema. */
const MOST_CONTEXT = 1_048_576;

/**
 * Where a reference was compared with, the receipt says that every bit was the same, of this model in these numerics. What
 * the reference computed is not in it, so this can be bounded, not computed again.
 */
export const parity: Gate = {
  name: 'parity',
  check({ predicate: { parity: found, model, numerics } }) {
    if (found === null) return notApplicable('no reference was compared with');
    const fault =
      faultOf(found, numerics, model.files[0]!.sha256) ??
      boundsFault(found, found.cases * model.config.contextLength, model.config.contextLength);
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
    return `${positions} positions and ${decodeSteps} decoded ids are those of ${cut(reference.name)} ${cut(reference.version)}${numerics}`;
  });
  return pass(`the receipt says that ${found.join('; ')}`);
}

function faultOf(found: ReceiptParity, numerics: string, modelSha256: string): string | undefined {
  const { reference, positionsByValue, positionsByDigest, decodeSteps, differingValues, maxAbs, failures } = found;
  if (found.modelSha256 !== modelSha256) return 'the reference ran another model';
  if (reference.numerics !== numerics) return `the reference has ${reference.numerics} numerics, the run ${numerics}`;
  if (failures.length > 0) return `it differs from ${cut(reference.name)}: ${cut(failures.join(', '))}`;
  if (found.cases === 0 || positionsByValue + positionsByDigest === 0) return 'nothing was compared with the reference';
  if (decodeSteps === 0) return 'no decoded ids were compared with the reference';
  if (differingValues > 0) {
    return `${differingValues} logits differ from those of ${cut(reference.name)}, by up to ${maxAbs}`;
  }
  if (maxAbs === null ? positionsByValue === 0 : maxAbs === 0) return undefined;
  return `the largest difference from ${cut(reference.name)} is ${maxAbs ?? 'not there, though values were compared'}`;
}

/** Prompts that are there, and no more than they have. */
function extentFault(found: ParityComparison): string | undefined {
  const { prompts, cases } = found;
  if (cases !== prompts.length) return `${cases} cases were compared, and there are ${prompts.length} prompts`;
  const longest = prompts.find(({ tokens }) => !(tokens > 0 && tokens <= MOST_CONTEXT));
  if (longest) return `a prompt has ${longest.tokens} ids, not 1 to ${MOST_CONTEXT}`;
  const positions = prompts.reduce((sum, { mode, tokens }) => sum + (mode === 'batch-last' ? 1 : tokens), 0);
  return boundsFault(found, positions, MOST_CONTEXT);
}

/**
 * @param mostPositions - that the prompts have together
 * @param contextLength - in which the ids of one case are decoded
 */
function boundsFault(
  { cases, positionsByValue, positionsByDigest, decodeSteps }: ReceiptParity,
  mostPositions: number,
  contextLength: number,
): string | undefined {
  const positions = positionsByValue + positionsByDigest;
  if (!(positions <= mostPositions))
    return `${positions} positions were compared, and the prompts have ${mostPositions}`;
  const mostSteps = cases * contextLength;
  if (decodeSteps <= mostSteps) return undefined;
  return `${decodeSteps} ids were decoded, and ${cases} contexts hold ${mostSteps}`;
}
