import { type LadderReport, type Recording, runLadder } from '@bittern/crossval';
import type { Model, Numerics } from '@bittern/engine';
import type { ReceiptParity } from '@bittern/receipts';
import type { Tokenizer } from '@bittern/tokenizer';
import { readRecording } from '../crossval/recorded.ts';
import { engineSide } from '../engine-side.ts';
import { NotComparedError } from '../errors.ts';
import type { Io } from '../io.ts';

/** A reference that was recorded on the model. */
export interface ParityReference {
  readonly recording: Recording;
  readonly id: string;
}

/** @throws NotComparedError where the recording is not of that model, or not of these numerics */
export async function parityReference(folder: string, sha256: string, numerics: Numerics): Promise<ParityReference> {
  const recording = await readRecording(folder);
  if (recording.model.sha256 !== sha256) {
    throw new NotComparedError(
      `the recording is of ${recording.model.file} (SHA-256 ${recording.model.sha256}), the model has ${sha256}.`,
    );
  }
  const reference = recording.references.find((recorded) => recorded.numerics === numerics);
  if (reference === undefined) {
    throw new NotComparedError(`the recording has no reference with numerics ${numerics}.`);
  }
  return { recording, id: reference.id };
}

/** Compares every bit with the reference's, and tells what was found. */
export async function parityWith(
  { recording, id }: ParityReference,
  model: Model,
  tokenizer: Tokenizer,
  io: Io,
): Promise<ReceiptParity> {
  using ours = engineSide(model, tokenizer, recording.model.sha256);
  const report = await runLadder({
    ours,
    reference: recording.side(id),
    cases: recording.cases(id),
    exact: true,
    signal: io.signal,
  });
  return receiptParity(report);
}

/** What a ladder found, as receipts have it. */
export function receiptParity({ reference, counts, maxAbs, failures }: LadderReport): ReceiptParity {
  const { name, version, build = null, numerics, model } = reference;
  return {
    reference: { name, version, build, numerics: numerics === 'avx2' || numerics === 'avx512' ? numerics : null },
    modelSha256: model.sha256,
    cases: counts.cases,
    positionsByValue: counts.rowsByValue,
    positionsByDigest: counts.rowsByDigest,
    decodeSteps: counts.decodeSteps,
    differingValues: counts.differingValues,
    maxAbs,
    failures: failures.map(({ code }) => code),
  };
}
