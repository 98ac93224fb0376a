import type { ReadReceipt } from './read.ts';
import type { ParityPredicate, ReceiptPredicate, ReceiptTokenizer } from './statement.ts';

export type GateStatus = 'pass' | 'fail' | 'not applicable';

export interface GateResult {
  readonly gate: string;
  readonly status: GateStatus;
  /** A sentence for people; it may quote the receipt. */
  readonly reason: string;
}

/** A question to a receipt of which the form is right. */
export interface Gate {
  readonly name: string;
  /** Asks the receipt of a benchmark. */
  check(receipt: Checked<ReceiptPredicate>): Outcome | Promise<Outcome>;
  /** Asks the receipt of a comparison. Without, it asks for what only a benchmark has. */
  checkParity?(receipt: Checked<ParityPredicate>): Outcome | Promise<Outcome>;
}

export type Outcome = Omit<GateResult, 'gate'>;

/** What a gate looks at. */
export interface Checked<Predicate = ReceiptPredicate | ParityPredicate> extends ReadReceipt {
  readonly predicate: Predicate;
  readonly wanted: VerifyOptions;
}

export interface VerifyOptions {
  /** Fail unless GPU kernels computed. Default false. */
  readonly requireGpuKernels?: boolean;
  /** Fail unless quantized kernels computed all products of the layers. Default false. */
  readonly requireQuantizedKernels?: boolean;
  /** Fail below so many tokens a second in decoding: of the median step. */
  readonly minTokensPerSecond?: number | undefined;
  /** Fail unless it is signed with this key. */
  readonly key?: VerifyingKey | undefined;
  /** Digests of the WebAssembly files that can have run, by their names: those of the verifier's own Bittern. */
  readonly binaries?: Readonly<Record<string, string>> | undefined;
  /** Fail unless one of `binaries` ran. Default false: a receipt of another build is not compared. */
  readonly requireSameBinaries?: boolean;
  /** What the verifier found in the model file that it has. */
  readonly model?: ModelEvidence | undefined;
  /** What came out when the verifier ran it again; `skipped` where it did not, because other gates failed. */
  readonly replay?: ReplayEvidence | 'skipped' | undefined;
}

export interface VerifyingKey {
  /** SHA-256 of the public key (SPKI, DER). */
  readonly id: string;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** Read from the verifier's own file, not from the receipt. */
export interface ModelEvidence {
  readonly model: Pick<ReceiptPredicate['model'], 'files' | 'architecture' | 'weights' | 'dialect' | 'config'>;
  readonly tokenizer: Omit<ReceiptTokenizer, 'name'>;
  /** Ids of the receipt's prompt. That of a comparison has none. */
  readonly promptIds: readonly number[];
}

export interface ReplayEvidence {
  /** How many ids were to be generated again. */
  readonly tokens: number;
  readonly ids: readonly number[];
  readonly logitsSha256: readonly string[];
}

export function pass(reason: string): Outcome {
  return { status: 'pass', reason };
}

export function fail(reason: string): Outcome {
  return { status: 'fail', reason };
}

export function notApplicable(reason: string): Outcome {
  return { status: 'not applicable', reason };
}

/** @param isWanted - whether it was asked for by name */
export function onlyOfBenchmarks(isWanted = false): Outcome {
  return (isWanted ? fail : notApplicable)('this is a receipt of comparisons: nothing was counted or timed');
}
