import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type LadderReport, openRecording, type Recording, runLadder } from '@bittern/crossval';
import type { Model } from '@bittern/engine';
import type { ReceiptParity } from '@bittern/receipts';
import type { Tokenizer } from '@bittern/tokenizer';
import { engineSide } from '../engine-side.ts';
import { inFile, NotComparedError } from '../errors.ts';
import type { Io } from '../io.ts';

/** Compares a model with the reference of its numerics in a recording, every bit, and tells what was found. */
export async function parityWith(
  recording: Recording,
  model: Model,
  tokenizer: Tokenizer,
  sha256: string,
  io: Io,
): Promise<ReceiptParity> {
  const reference = recording.references.find(({ numerics }) => numerics === model.numerics);
  if (reference === undefined)
    throw new NotComparedError(`the recording has no reference with numerics ${model.numerics}.`);
  using ours = engineSide(model, tokenizer, sha256);
  const report = await runLadder({
    ours,
    reference: recording.side(reference.id),
    cases: recording.cases(reference.id),
    exact: true,
    signal: io.signal,
  });
  return receiptParity(report);
}

export async function readRecording(folder: string): Promise<Recording> {
  try {
    return await openRecording((name) => readFile(join(folder, name)));
  } catch (error) {
    throw inFile(folder, error);
  }
}

function receiptParity({ reference, counts, maxAbs, failures }: LadderReport): ReceiptParity {
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
