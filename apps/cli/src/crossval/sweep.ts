import { fileURLToPath } from 'node:url';
import type { EvaluationMode, Numerics } from '@bittern/engine';
import { modelUrl } from '@bittern/storyteller';
import { NotComparedError, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { compare } from './compare.ts';
import type { CrossvalDocument, Status } from './document.ts';
import type { Backend, CrossvalOptions } from './options.ts';
import type { Sweep, SweepModel, SweepPrompt, SweepReference } from './sweep-file.ts';

/** What `crossval sweep --json` and `crossval merge --json` print. */
export interface SweepDocument {
  readonly format: 'bittern-sweep';
  readonly version: 1;
  /** The worst of the scenarios. */
  readonly status: Status;
  /** Digest of what was to be swept; all shards of a sweep have the same. */
  readonly sweep: string;
  /** How many scenarios the whole sweep has. */
  readonly total: number;
  /** Part i of n; 1 of 1 where nothing was divided or all were merged. */
  readonly shard: Shard;
  readonly scenarios: readonly ScenarioResult[];
}

export interface Shard {
  readonly index: number;
  readonly count: number;
}

interface ScenarioResult {
  /** In the whole sweep, from 0. */
  readonly index: number;
  readonly name: string;
  readonly document: CrossvalDocument;
}

/** One comparison of a sweep. */
export interface Scenario {
  readonly index: number;
  readonly name: string;
  readonly options: CrossvalOptions;
}

/** What the command line adds to a sweep file that leaves it open. */
export interface SweepDefaults {
  readonly model?: string;
  readonly reference?: string;
  readonly referenceModel?: string;
  readonly referenceNumerics?: Numerics;
  readonly cppBackend?: Backend;
  readonly threads?: number | 'auto';
}

/** Every combination of models, prompts, modes and references, in this order. */
export function scenariosOf(sweep: Sweep, defaults: SweepDefaults): Scenario[] {
  const models: readonly SweepModel[] =
    sweep.models.length > 0 ? sweep.models : [{ name: 'model', file: defaults.model ?? fileURLToPath(modelUrl) }];
  if (sweep.models.length > 0 && defaults.model !== undefined)
    throw new UsageError('The sweep has its own models; leave out -m.');
  // Without prompts all of a recording are compared, without modes all that were recorded, or batch-all.
  const prompts: readonly (SweepPrompt | undefined)[] = sweep.prompts.length > 0 ? sweep.prompts : [undefined];
  const modes: readonly (EvaluationMode | undefined)[] = sweep.modes.length > 0 ? sweep.modes : [undefined];
  const scenarios: Scenario[] = [];
  for (const model of models) {
    for (const prompt of prompts) {
      for (const mode of modes) {
        for (const reference of referencesOf(sweep, model, defaults)) {
          const name = [model.name, prompt?.name, mode, reference.name]
            .filter((part) => part !== undefined)
            .join(' / ');
          const options = optionsOf(sweep, model, prompt, mode, reference, defaults);
          scenarios.push({ index: scenarios.length, name, options });
        }
      }
    }
  }
  return scenarios;
}

function referencesOf(sweep: Sweep, model: SweepModel, defaults: SweepDefaults): readonly SweepReference[] {
  const own = model.references ?? sweep.references;
  const { reference, referenceModel, referenceNumerics, cppBackend } = defaults;
  const given = [reference, referenceModel, referenceNumerics, cppBackend].some((value) => value !== undefined);
  if (own.length > 0) {
    if (given) throw new UsageError('The sweep has its own references; leave out the options that name one.');
    return own;
  }
  if (!given) {
    throw new UsageError(
      `The sweep names no reference for ${model.name}. Give --reference, --reference-model, --reference-numerics or --cpp-backend.`,
    );
  }
  const name = [cppBackend, reference, referenceModel, referenceNumerics]
    .filter((part) => part !== undefined)
    .join(', ');
  return [
    {
      name,
      ...(reference === undefined ? {} : { recording: reference }),
      ...(cppBackend === undefined ? {} : { cppBackend }),
      ...(referenceModel === undefined ? {} : { model: referenceModel }),
      ...(referenceNumerics === undefined ? {} : { numerics: referenceNumerics }),
    },
  ];
}

function optionsOf(
  sweep: Sweep,
  model: SweepModel,
  prompt: SweepPrompt | undefined,
  mode: EvaluationMode | undefined,
  reference: SweepReference,
  { threads }: SweepDefaults,
): CrossvalOptions {
  return {
    model: model.file,
    layout: model.layout ?? '128x32',
    tl1Kernel: 'transcode',
    tracePositions: 16,
    ...(threads === undefined ? {} : { threads }),
    ...(model.tl1Tiling === undefined ? {} : { tl1Tiling: model.tl1Tiling }),
    ...(model.tokenizer === undefined ? {} : { tokenizer: model.tokenizer }),
    ...(prompt === undefined ? {} : { prompt: [prompt.text] }),
    ...(prompt?.template === undefined ? {} : { promptTemplate: prompt.template }),
    ...(prompt?.system === undefined ? {} : { systemPrompt: prompt.system }),
    ...(prompt?.special === true ? { special: true } : {}),
    ...(prompt?.maxTokens === undefined ? {} : { maxTokens: prompt.maxTokens }),
    ...(mode === undefined ? {} : { mode }),
    ...(reference.recording === undefined ? {} : { reference: reference.recording }),
    ...(reference.cppBackend === undefined ? {} : { cppBackend: reference.cppBackend }),
    ...(reference.model === undefined ? {} : { referenceModel: reference.model }),
    ...(reference.numerics === undefined ? {} : { referenceNumerics: reference.numerics }),
    ...(sweep.exact ? { exact: true } : {}),
    ...(sweep.thresholds === undefined ? {} : { thresholds: sweep.thresholds }),
  };
}

/** Runs the scenarios of one shard: every `count`th, so that shards are of like size. */
export async function runSweep(
  scenarios: readonly Scenario[],
  sweep: string,
  shard: Shard,
  io: Io,
  options: {
    readonly traces?: string | undefined;
    readonly onScenario: (scenario: Scenario, document: CrossvalDocument) => Promise<void>;
  },
): Promise<SweepDocument> {
  const mine = scenarios.filter(({ index }) => index % shard.count === shard.index - 1);
  if (mine.length === 0) {
    throw new NotComparedError(
      `shard ${shard.index} of ${shard.count} has none of the ${scenarios.length} scenarios. Use fewer shards.`,
    );
  }
  const results: ScenarioResult[] = [];
  for (const scenario of mine) {
    io.signal.throwIfAborted();
    const { index, name } = scenario;
    const traces = options.traces === undefined ? {} : { traces: `${options.traces}/scenario${index + 1}` };
    const document = await compare({ ...scenario.options, ...traces }, io);
    await options.onScenario(scenario, document);
    results.push({ index, name, document });
  }
  return {
    format: 'bittern-sweep',
    version: 1,
    status: worst(results),
    sweep,
    total: scenarios.length,
    shard,
    scenarios: results,
  };
}

/**
 * The shards of one sweep as one document.
 *
 * @throws NotComparedError unless every scenario is there exactly once
 */
export function mergeSweeps(documents: readonly SweepDocument[]): SweepDocument {
  const [first] = documents;
  if (first === undefined) throw new NotComparedError('there is nothing to merge.');
  const other = documents.find(({ sweep, total }) => sweep !== first.sweep || total !== first.total);
  if (other !== undefined) throw new NotComparedError('the files are of different sweeps.');
  const scenarios = documents.flatMap((document) => document.scenarios).toSorted((a, b) => a.index - b.index);
  for (let index = 0; index < Math.max(first.total, scenarios.length); index++) {
    if (scenarios[index]?.index === index) continue;
    const repeated = scenarios[index] !== undefined && scenarios[index]!.index < index;
    const which = repeated ? scenarios[index]!.index : index;
    throw new NotComparedError(
      `scenario ${which + 1} of ${first.total} is ${repeated ? 'there twice' : 'missing'}: give the file of every shard, once.`,
    );
  }
  return { ...first, status: worst(scenarios), shard: { index: 1, count: 1 }, scenarios };
}

function worst(results: readonly ScenarioResult[]): Status {
  const statuses = new Set(results.map(({ document }) => document.status));
  if (statuses.has('diverged')) return 'diverged';
  return statuses.size === 1 && statuses.has('ok') ? 'ok' : 'not-compared';
}
