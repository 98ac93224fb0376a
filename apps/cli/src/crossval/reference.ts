import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type LadderCase,
  type NoiseVariant,
  openRecording,
  type RecordedReference,
  type Recording,
  type Side,
} from '@bittern/crossval';
import { type Numerics, NUMERICS } from '@bittern/engine';
import { recordingUrl } from '@bittern/storyteller';
import { startChat } from '../chat.ts';
import { engineSide } from '../engine-side.ts';
import { inFile, NotComparedError, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, type ModelFile, openModelFile, sha256OfFile } from '../model-file.ts';
import { type LoadedTokenizer, loadTokenizer } from '../tokenizer-file.ts';
import { type CrossvalOptions, DEFAULT_MAX_TOKENS } from './options.ts';

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
}

export interface OpenedReference extends AsyncDisposable {
  /** `recording`, `bittern`, or the C++ engine. */
  readonly backend: string;
  readonly runs: readonly ReferenceRun[];
}

/** Our model, as far as a reference must know it. */
export interface OurModel {
  readonly file: ModelFile;
  readonly sha256: string;
  readonly tokenizer: LoadedTokenizer;
}

export function wantsOwnEngine({ referenceModel, referenceNumerics }: CrossvalOptions): boolean {
  return referenceModel !== undefined || referenceNumerics !== undefined;
}

/** Opens what the options name as the reference. */
export async function openReference(options: CrossvalOptions, ours: OurModel, io: Io): Promise<OpenedReference> {
  return wantsOwnEngine(options) ? ownEngine(options, ours, io) : recorded(options, ours);
}

/** Before a large model is loaded for nothing. */
export async function requireRecordedModel(options: CrossvalOptions): Promise<void> {
  if (wantsOwnEngine(options) || options.reference === undefined || options.model !== undefined) return;
  const { file, sha256 } = (await readRecording(options.reference)).model;
  throw new UsageError(`--reference needs -m with the recording's model: ${file}, SHA-256 ${sha256}.`);
}

async function readRecording(folder: string): Promise<Recording> {
  try {
    return await openRecording((name) => readFile(join(folder, name)));
  } catch (error) {
    throw inFile(folder, error);
  }
}

async function recorded(options: CrossvalOptions, ours: OurModel): Promise<OpenedReference> {
  const recording = await readRecording(options.reference ?? fileURLToPath(recordingUrl));
  if (ours.sha256 !== recording.model.sha256) {
    throw new NotComparedError(
      `the recording is of ${recording.model.file} (SHA-256 ${recording.model.sha256}), but ${ours.file.path} has ${ours.sha256}. ` +
        'Give that model with -m, or a recording of yours with --reference.',
    );
  }
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
  return { backend: 'recording', runs, async [Symbol.asyncDispose]() {} };
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

/** A prompt as it is tokenized, and whether control tokens in it are such. */
interface Prompt {
  readonly text: string;
  readonly parseSpecial: boolean;
}

function promptsOf(options: CrossvalOptions, tokenizer: LoadedTokenizer): Prompt[] | undefined {
  const { prompt: prompts, promptTemplate, systemPrompt } = options;
  if (prompts === undefined) {
    if (promptTemplate === undefined && systemPrompt === undefined) return undefined;
    throw new UsageError('--prompt-template and --system-prompt need a prompt: give -p.');
  }
  if (systemPrompt !== undefined && promptTemplate === undefined) {
    throw new UsageError('--system-prompt needs a template to stand in: give --prompt-template, such as auto.');
  }
  return prompts.map((prompt) => promptOf(prompt, options, tokenizer));
}

function promptOf(
  prompt: string,
  { promptTemplate, systemPrompt, special }: CrossvalOptions,
  tokenizer: LoadedTokenizer,
): Prompt {
  if (promptTemplate === undefined || promptTemplate === 'raw') {
    const text = systemPrompt === undefined ? prompt : `${systemPrompt}\n\n${prompt}`;
    return { text, parseSpecial: special === true };
  }
  const { template, messages } = startChat(tokenizer, prompt, {
    template: promptTemplate,
    ...(systemPrompt === undefined ? {} : { system: systemPrompt }),
  });
  return { text: template.render(messages).text, parseSpecial: true };
}

/** Our own engine, on another file or with other numerics, on weights of its own. */
async function ownEngine(options: CrossvalOptions, ours: OurModel, io: Io): Promise<OpenedReference> {
  const { referenceModel, referenceNumerics, mode = 'batch-all', maxTokens = DEFAULT_MAX_TOKENS } = options;
  const prompts = promptsOf(options, ours.tokenizer);
  if (prompts === undefined) throw new UsageError('A reference that is no recording needs a prompt: give -p.');
  const numerics = referenceNumerics ?? options.numerics ?? 'avx512';
  await using opening = new AsyncDisposableStack();
  const file = opening.use(await openModelFile(referenceModel ?? ours.file.path, io));
  const sha256 = referenceModel === undefined ? ours.sha256 : await sha256OfFile(file.path, io.signal);
  // Its own tokenizer, not the one that --tokenizer chooses for us: two sides that share one cannot differ.
  const hasTokenizer = file.gguf.metadata.has('tokenizer.ggml.tokens');
  const { tokenizer } = await loadTokenizer(file, hasTokenizer ? {} : options, io);
  const load = async (build: Numerics, threads: LoadOptions['threads']) =>
    engineSide(opening.use(await file.load(build, { ...options, threads })), tokenizer, sha256);
  const side = opening.use(await load(numerics, options.threads));
  const variants: NoiseVariant[] = [{ name: `${numerics} ${mode}`, side, mode }];
  if (options.calibrate) {
    const otherMode = mode === 'sequential' ? 'batch-all' : 'sequential';
    const otherBuild = numerics === 'avx2' ? 'avx512' : 'avx2';
    const [again, threads, build] = [
      opening.use(await load(numerics, options.threads)),
      opening.use(await load(numerics, 2)),
      opening.use(await load(otherBuild, options.threads)),
    ];
    variants.push(
      { name: `${numerics} ${otherMode}`, side: again, mode: otherMode },
      { name: `${numerics} ${mode}, 2 threads`, side: threads, mode },
      { name: `${otherBuild} ${mode}`, side: build, mode },
    );
  }
  const { tracePositions: traceLength } = options;
  const cases: LadderCase[] = [];
  for (const [index, prompt] of prompts.entries()) {
    const ids = await side.tokenize(prompt.text, { parseSpecial: prompt.parseSpecial });
    const id = `p${index}.${mode}`;
    cases.push({ id, ...prompt, ids, mode, greedyCount: maxTokens, trace: true, traceLength });
  }
  const run: ReferenceRun = {
    label: `bittern ${numerics}`,
    side,
    numerics: options.numerics ?? 'avx512',
    cases,
    sameModel: referenceModel === undefined,
    variants,
  };
  const opened = opening.move();
  return { backend: 'bittern', runs: [run], [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
