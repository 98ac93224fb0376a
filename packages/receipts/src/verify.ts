import { ReceiptError } from './errors.ts';
import { figuresOf, type ReceiptFigures } from './figures.ts';
import { type Gate, type GateResult, onlyOfBenchmarks, type Outcome, type VerifyOptions } from './gate.ts';
import { binaries } from './gates/binaries.ts';
import { canonical } from './gates/canonical.ts';
import { computePath } from './gates/compute-path.ts';
import { counts } from './gates/counts.ts';
import { digest } from './gates/digest.ts';
import { gpuKernels } from './gates/gpu-kernels.ts';
import { limits } from './gates/limits.ts';
import { model } from './gates/model.ts';
import { parity } from './gates/parity.ts';
import { quantizedKernels } from './gates/quantized-kernels.ts';
import { rates } from './gates/rates.ts';
import { registry } from './gates/registry.ts';
import { replay } from './gates/replay.ts';
import { signature } from './gates/signature.ts';
import { subjects } from './gates/subjects.ts';
import { throughput } from './gates/throughput.ts';
import { time } from './gates/time.ts';
import { tokens } from './gates/tokens.ts';
import { type ReadReceipt, readReceipt } from './read.ts';
import { PREDICATE_TYPE } from './statement.ts';

/** What can be asked of a receipt of which the form is right, in the order of the report. The first gate is `schema`. */
const GATES: readonly Gate[] = [
  canonical,
  digest,
  signature,
  subjects,
  binaries,
  tokens,
  registry,
  computePath,
  counts,
  quantizedKernels,
  gpuKernels,
  time,
  limits,
  rates,
  throughput,
  parity,
  model,
  replay,
];

export interface VerificationReport {
  /** `pass` if no gate fails. */
  readonly verdict: 'pass' | 'fail';
  readonly gates: readonly GateResult[];
  /** Computed from the raw samples; null where there are none, as in the receipt of a comparison. */
  readonly figures: ReceiptFigures | null;
}

/**
 * Verifies a receipt: derives all that follows from what it holds, and believes none of it. What it cannot see, such as
 * ids that another model gave, wants the model (`options.model`, `options.replay`); who made it, a key (`options.key`).
 *
 * @param bytes - a receipt, signed or not
 */
export async function verifyReceipt(bytes: Uint8Array, options: VerifyOptions = {}): Promise<VerificationReport> {
  refuseUnknownOptions(options);
  let receipt: ReadReceipt;
  try {
    receipt = readReceipt(bytes);
  } catch (error) {
    if (!(error instanceof ReceiptError)) throw error;
    const rest = GATES.map(({ name }) => ({
      gate: name,
      status: 'not applicable' as const,
      reason: 'this is no receipt',
    }));
    return {
      verdict: 'fail',
      gates: [{ gate: 'schema', status: 'fail', reason: error.message }, ...rest],
      figures: null,
    };
  }
  const { statement } = receipt;
  const gates: GateResult[] = [{ gate: 'schema', status: 'pass', reason: kindOf(statement) }];
  for (const gate of GATES) gates.push({ gate: gate.name, ...(await outcomeOf(gate, receipt, options)) });
  const verdict = gates.some(({ status }) => status === 'fail') ? 'fail' : 'pass';
  const figures = statement.predicateType === PREDICATE_TYPE ? figuresOf(statement.predicate) : undefined;
  return { verdict, gates, figures: figures ?? null };
}

function outcomeOf(gate: Gate, receipt: ReadReceipt, wanted: VerifyOptions): Outcome | Promise<Outcome> {
  const { statement } = receipt;
  if (statement.predicateType === PREDICATE_TYPE) {
    return gate.check({ ...receipt, predicate: statement.predicate, wanted });
  }
  return gate.checkParity?.({ ...receipt, predicate: statement.predicate, wanted }) ?? onlyOfBenchmarks();
}

function kindOf({ predicateType }: ReadReceipt['statement']): string {
  return `the receipt of ${predicateType === PREDICATE_TYPE ? 'a benchmark' : 'comparisons'}, version 1`;
}

const KNOWN_OPTIONS: Readonly<Record<keyof VerifyOptions, true>> = {
  requireGpuKernels: true,
  requireQuantizedKernels: true,
  minTokensPerSecond: true,
  key: true,
  binaries: true,
  requireSameBinaries: true,
  model: true,
  replay: true,
};

function refuseUnknownOptions(options: VerifyOptions): void {
  const unknown = Object.keys(options).filter((key) => !Object.hasOwn(KNOWN_OPTIONS, key));
  if (unknown.length === 0) return;
  throw new TypeError(`Unknown option "${unknown.join('", "')}". Known: ${Object.keys(KNOWN_OPTIONS).join(', ')}.`);
}
