import { argmax, loadModel, type Model, prefill } from '@bittern/engine';
import { openFile } from '@bittern/gguf-parser/node';
import { loadKernels } from '@bittern/kernels';
import { median } from '@bittern/measure';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { medianInterval } from '../compare/median-interval.ts';
import { BenchError, EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../errors.ts';
import type { Io } from '../io.ts';
import { KernelsInTurn } from '../kernels-in-turn.ts';
import { measure, print, type Sample } from '../measure.ts';
import { modelFile } from '../model-file.ts';
import { promptIds, requireContext } from '../model.ts';
import {
  addOptions,
  commonOptions,
  kernelsOption,
  machineOptions,
  type ModelOptions,
  numericsOption,
  positive,
  shapeOptions,
} from '../options.ts';
import type { RatioRow } from '../report.ts';
import { UncountedKernels } from '../uncounted-kernels.ts';
import { Decoding, type DecodingOptions, sessionOf } from './decode.ts';

interface OverheadOptions extends ModelOptions, DecodingOptions {
  readonly most: number;
}

export function addOverheadCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  const command = program
    .command('overhead')
    .description('Measure what counters cost, and with them a receipt, while a model decodes.')
    .addHelpText(
      'after',
      `
Decodes the same ids with the same weights in turn on kernels that were built once more without counting, on those that
count, and on those that count and time themselves, which is all that a receipt does meanwhile. Each round gives a ratio;
it fails unless the median of the last ones, with 95 %, is at most 1 and --most per cent.

Examples:
  bittern-bench overhead --threads 1
  bittern-bench overhead --shape model.gguf --most 1 --repeats 60 --json

${EXIT_CODES_HELP}`,
    )
    .action(async (options: OverheadOptions) => setExitCode(await overhead(options, io)));
  addOptions(command, [
    ...shapeOptions(),
    ...machineOptions(),
    new Option('--prompt <tokens>', 'tokens before the first that is measured').default(128).argParser(positive),
    new Option('--steps <tokens>', 'tokens in each round').default(1).argParser(positive),
    new Option('--most <percent>', 'how much a receipt may cost').default(1).argParser(percentage),
    numericsOption(),
    kernelsOption(),
    ...commonOptions({ repeats: 200, warmup: 5 }),
  ]);
}

async function overhead(options: OverheadOptions, io: Io): Promise<ExitCode> {
  const { threads, buffer, numerics, prompt, steps, repeats, warmup, most } = options;
  const [count] = threads;
  if (threads.length > 1) throw new InvalidArgumentError('--threads is one number here.');
  const file = await modelFile(options, io);
  const counted = await loadKernels({ variant: options.kernels, threads: count!, revectorize: true });
  await using built = await UncountedKernels.build(counted);
  const uncounted = await built.load(counted);
  const inTurn = new KernelsInTurn(counted, uncounted);
  await using source = await openFile(file.path);
  using model = await loadModel(source, { numerics, kernels: inTurn.kernels, signal: io.signal });
  const subjects = [
    await roundsOf(model, () => inTurn.use(uncounted), 'off', 'not counting', options, io),
    await roundsOf(model, () => inTurn.use(counted), 'off', 'counting', options, io),
    await roundsOf(model, () => inTurn.use(counted), 'on', 'counting and timing', options, io),
  ] as const;
  const measured = await measure(subjects, options, io);
  const texts = new Set(subjects.map(({ ids }) => ids.join()));
  if (texts.size > 1) throw new BenchError('They did not decode the same ids: one of them is not exact.');
  const [without, counting, timing] = subjects.map(({ rounds }) => rounds.slice(warmup));
  if (measured.results[0]!.counters !== undefined) throw new BenchError('Kernels without counting have counted.');
  const ratios = [ratioRow('counters', without!, counting!), ratioRow('counters and receipt', without!, timing!)];
  const { high } = ratios[1]!;
  const passed = high !== null && high <= 1 + most / 100;
  const described = { shape: options.shape, file: file.path, model: file.fingerprint };
  const settings = { ...described, threads, buffer, numerics, kernels: counted.variant, prompt, steps, most };
  await print({ command: 'overhead', settings: { ...settings, repeats, warmup }, ...measured, ratios }, options, io);
  if (!passed) io.stderr.write(`bittern-bench: it was not shown that a receipt costs at most ${most} %\n`);
  return passed ? EXIT_CODES.success : EXIT_CODES.failed;
}

async function roundsOf(
  model: Model,
  use: () => void,
  timed: 'off' | 'on',
  form: string,
  options: OverheadOptions,
  io: Io,
): Promise<Rounds> {
  const { prompt, steps, warmup, repeats } = options;
  const contextLength = prompt + steps * (warmup + repeats);
  requireContext(model, contextLength);
  const session = sessionOf(model, 'exact', contextLength);
  const first = argmax(await prefill(session, promptIds(prompt, model), 'batch-last', { signal: io.signal }));
  return new Rounds(use, model, session, { head: 'exact', timed, form: [form] }, first, options);
}

/** Decoding of which each round can be compared with the same of others. */
class Rounds extends Decoding {
  /** The median step of each round, the warm-up's too. */
  readonly rounds: number[] = [];
  readonly #use: () => void;

  constructor(use: () => void, ...args: ConstructorParameters<typeof Decoding>) {
    super(...args);
    this.#use = use;
  }

  override async sample(): Promise<Sample> {
    this.#use();
    const sample = await super.sample();
    this.rounds.push(median(sample.durationsMs));
    return sample;
  }
}

/** Rounds are pairs: what disturbed one disturbed the other, too. */
function ratioRow(name: string, base: readonly number[], current: readonly number[]): RatioRow {
  const ratios = current.map((ms, round) => ms / base[round]!);
  const { low, high } = medianInterval(ratios, 0.95) ?? { low: null, high: null };
  return { name, ratio: median(ratios), low, high };
}

function percentage(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > 0 && Number.isFinite(value))) {
    throw new InvalidArgumentError('It must be a number above 0.');
  }
  return value;
}
