import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type LadderCase,
  type NoiseVariant,
  openRecording,
  type RecordedReference,
  type Recording,
} from '@bittern/crossval';
import { type Numerics, NUMERICS } from '@bittern/engine';
import { recordingUrl } from '@bittern/storyteller';
import { inFile, NotComparedError } from '../errors.ts';
import type { CrossvalOptions } from './options.ts';
import { promptsOf } from './prompts.ts';
import type { OpenedReference, OurModel, ReferenceRun } from './reference.ts';

export async function readRecording(folder: string): Promise<Recording> {
  try {
    return await openRecording((name) => readFile(join(folder, name)));
  } catch (error) {
    throw inFile(folder, error);
  }
}

/** @throws NotComparedError if the recording is of another model */
export function requireSameModel({ model }: Recording, ours: OurModel): void {
  if (ours.sha256 === model.sha256) return;
  throw new NotComparedError(
    `the recording is of ${model.file} (SHA-256 ${model.sha256}), but ${ours.file.path} has ${ours.sha256}. ` +
      'Give that model with -m, or a recording of yours with --reference.',
  );
}

/** A recorded bitnet.cpp: a run for each build in it that was asked for. */
export async function recorded(options: CrossvalOptions, ours: OurModel): Promise<OpenedReference> {
  const recording = await readRecording(options.reference ?? fileURLToPath(recordingUrl));
  requireSameModel(recording, ours);
  const runs = chooseBuilds(recording.references, options.numerics).map((build): ReferenceRun => {
    const side = recording.side(build.id);
    const others = recording.references.filter(({ id }) => id !== build.id);
    return {
      label: build.id,
      side,
      numerics: build.numerics as Numerics,
      cases: recordedCases(recording.cases(build.id), options, ours),
      sameModel: true,
      variants: [
        { name: `${build.id} batch-all`, side, mode: 'batch-all' },
        { name: `${build.id} sequential`, side, mode: 'sequential' },
        ...others.map(({ id }): NoiseVariant => ({
          name: `${id} batch-all`,
          side: recording.side(id),
          mode: 'batch-all',
        })),
      ],
    };
  });
  return { backend: 'recording', runs, notInstalled: [], async [Symbol.asyncDispose]() {} };
}

function chooseBuilds(
  references: readonly RecordedReference[],
  wanted: Numerics | undefined,
): readonly RecordedReference[] {
  const unknown = references.find(({ numerics }) => !(NUMERICS as readonly string[]).includes(numerics));
  if (unknown !== undefined) {
    throw new NotComparedError(
      `reference ${unknown.id} has numerics "${unknown.numerics}", which the engine does not reproduce. It has ${NUMERICS.join(' and ')}.`,
    );
  }
  const chosen = references.filter(({ numerics }) => wanted === undefined || numerics === wanted);
  if (chosen.length > 0) return chosen;
  throw new NotComparedError(
    `the recording has no reference with numerics ${wanted}, only ${references.map(({ numerics }) => numerics).join(', ')}.`,
  );
}

/** Of the recorded cases those that were asked for. */
function recordedCases(cases: readonly LadderCase[], options: CrossvalOptions, ours: OurModel): LadderCase[] {
  const { mode, maxTokens } = options;
  const prompts = promptsOf(options, ours.tokenizer);
  const inMode = cases.filter((of) => mode === undefined || of.mode === mode);
  const missing = prompts?.find(({ text }) => !inMode.some((of) => of.text === text));
  if (missing !== undefined || inMode.length === 0) {
    const texts = [...new Set(cases.map(({ text }) => JSON.stringify(text)))];
    throw new NotComparedError(
      `the recording has no run of ${missing === undefined ? 'any prompt' : JSON.stringify(missing.text)}${mode === undefined ? '' : ` in mode ${mode}`}. It has ${texts.join(', ')}.`,
    );
  }
  const chosen = inMode.filter(({ text }) => prompts === undefined || prompts.some((prompt) => prompt.text === text));
  const short = chosen.find(({ greedyCount }) => maxTokens !== undefined && greedyCount < maxTokens);
  if (short !== undefined) {
    throw new NotComparedError(
      `the recording has ${short.greedyCount} greedy ids of ${short.id}, not ${maxTokens}. Lower --max-tokens.`,
    );
  }
  return chosen.map((of) => (maxTokens === undefined ? of : { ...of, greedyCount: maxTokens }));
}
