import { configuredPlace } from '@bittern/cpp-bridge';
import type { LadderCase, NoiseVariant, Side } from '@bittern/crossval';
import type { Numerics } from '@bittern/engine';
import { UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import type { ForcedOperation } from '../live/forced-operations.ts';
import type { ModelFile } from '../model-file.ts';
import type { LoadedTokenizer } from '../tokenizer-file.ts';
import { liveBitnet, liveLlama } from './live.ts';
import type { CrossvalOptions } from './options.ts';
import { ownEngine } from './own-engine.ts';
import { readRecording, recorded } from './recorded.ts';

/** A reference side, ready to be compared with. One ladder is climbed against each. */
export interface ReferenceRun {
  /** For people: `avx512`. */
  readonly label: string;
  readonly side: Side;
  /** How our engine must compute to be comparable. */
  readonly numerics: Numerics;
  readonly cases: readonly LadderCase[];
  readonly sameModel: boolean;
  /** Ways to evaluate the reference, which `--calibrate` compares; the first is the one of the comparison. */
  readonly variants: readonly NoiseVariant[];
  /** Our side as far as the reference has a counterpart of it. Default: all of it. */
  readonly view?: (ours: Side) => Side;
  /** Compares what a ladder cannot. Afterwards `side` cannot be used any more. */
  readonly compareOperations?: (ours: Side) => Promise<readonly ForcedOperation[]>;
}

export interface OpenedReference extends AsyncDisposable {
  /** `bittern`, or what `--cpp-backend` chose. */
  readonly backend: string;
  readonly runs: readonly ReferenceRun[];
  /** What `installed` would compare with, too, if it were there. */
  readonly notInstalled: readonly string[];
}

/** Our model, as far as a reference must know it. */
export interface OurModel {
  readonly file: ModelFile;
  readonly sha256: string;
  readonly tokenizer: LoadedTokenizer;
}

function wantsOwnEngine({ referenceModel, referenceNumerics }: CrossvalOptions): boolean {
  return referenceModel !== undefined || referenceNumerics !== undefined;
}

/** Whether every reference can evaluate what nobody foresaw. */
export function evaluatesAnything(options: CrossvalOptions): boolean {
  return wantsOwnEngine(options) || options.cppBackend === 'bitnet' || options.cppBackend === 'llama';
}

/** Opens what the options name as the reference. */
export async function openReference(options: CrossvalOptions, ours: OurModel, io: Io): Promise<OpenedReference> {
  if (wantsOwnEngine(options)) return await ownEngine(options, ours, io);
  switch (options.cppBackend ?? 'recording') {
    case 'recording':
      return await recorded(options, ours);
    case 'bitnet':
      return await liveBitnet(options, ours, io);
    case 'llama':
      return await liveLlama(options, ours, io);
    case 'installed':
      return await installed(options, ours, io);
  }
}

/** The recording, and llama.cpp if it is installed. What is set and cannot be used is an error, not absent. */
async function installed(options: CrossvalOptions, ours: OurModel, io: Io): Promise<OpenedReference> {
  const { runs, ...recording } = await recorded(options, ours);
  const found = (await configuredPlace('llama', io.env)) !== undefined;
  if (!found) return { ...recording, backend: 'installed', runs, notInstalled: ['llama.cpp'] };
  const llama = await liveLlama(options, ours, io);
  return { ...llama, backend: 'installed', runs: [...runs, ...llama.runs] };
}

/** Before a large model is loaded for nothing. */
export async function requireRecordedModel(options: CrossvalOptions): Promise<void> {
  if (wantsOwnEngine(options) || options.reference === undefined || options.model !== undefined) return;
  const { file, sha256 } = (await readRecording(options.reference)).model;
  throw new UsageError(`--reference needs -m with the recording's model: ${file}, SHA-256 ${sha256}.`);
}
