import { performance } from 'node:perf_hooks';
import { argmax, HEAD_KINDS, type HeadKind, type Logits, type Model, prefill, type Session } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { countedSample } from '../counted.ts';
import { BenchError, EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { measure, print, type Sample, type Subject } from '../measure.ts';
import { modelFile } from '../model-file.ts';
import { promptIds, requireContext, streamedBytes, withModels } from '../model.ts';
import {
  addOptions,
  commonOptions,
  kernelsOption,
  listOf,
  machineOptions,
  type ModelOptions,
  numericsOption,
  positive,
  shapeOptions,
} from '../options.ts';

interface DecodeOptions extends ModelOptions {
  readonly prompt: number;
  readonly steps: number;
  readonly head: readonly HeadKind[];
  readonly timing: readonly OnOff[];
}

const ON_OFF = ['off', 'on'] as const;
type OnOff = (typeof ON_OFF)[number];

export function addDecodeCommand(program: Command, io: Io): void {
  const command = program
    .command('decode')
    .description('Measure greedy decoding, token by token.')
    .addHelpText(
      'after',
      `
A call is one token: its evaluation and the choice of the next. Its bytes are all weights, the head and the keys and
values of the tokens before, each of which has to be read once. Of the screened head that is six bits of a weight. What is
compared must decode the same ids. --json has what the kernels counted.

Examples:
  bittern-bench decode
  bittern-bench decode --shape model.gguf --threads 1,2 --json
  bittern-bench decode --head exact,screened
  bittern-bench decode --timing off,on

${EXIT_CODES_HELP}`,
    )
    .action((options: DecodeOptions) => decode(options, io));
  addOptions(command, [
    ...shapeOptions(),
    ...machineOptions(),
    new Option('--prompt <tokens>', 'tokens before the first that is measured').default(128).argParser(positive),
    new Option('--steps <tokens>', 'tokens in each round').default(8).argParser(positive),
    new Option('--head <heads>', 'exact, screened, or exact,screened to compare them')
      .default(['exact'], 'exact')
      .argParser(listOf(HEAD_KINDS)),
    new Option('--timing <modes>', 'whether kernels count their time: off, on, or off,on to compare')
      .default(['off'], 'off')
      .argParser(listOf(ON_OFF)),
    numericsOption(),
    kernelsOption(),
    ...commonOptions({ repeats: 10, warmup: 2 }),
  ]);
}

async function decode(options: DecodeOptions, io: Io): Promise<void> {
  const { threads, buffer, numerics, prompt, steps, head: heads, timing, repeats, warmup } = options;
  const file = await modelFile(options, io);
  await withModels(file.path, { ...options, heads }, io, async (models) => {
    const contextLength = prompt + steps * (warmup + repeats);
    const subjects: Decoding[] = [];
    for (const model of models) {
      requireContext(model, contextLength);
      const ids = promptIds(prompt, model);
      for (const head of heads) {
        for (const timed of timing) {
          const session = sessionOf(model, head, contextLength);
          const first = argmax(await prefill<Logits>(session, ids, 'batch-last', { signal: io.signal }));
          const form = [head === 'exact' ? [] : [`${head} head`], timed === 'off' ? [] : ['timing kernels']].flat();
          subjects.push(new Decoding(model, session, { head, timed, form }, first, options));
        }
      }
    }
    const measured = await measure(subjects, options, io);
    const texts = new Set(subjects.map(({ ids }) => ids.join()));
    if (texts.size > 1) throw new BenchError('They did not decode the same ids: one of them is not exact.');
    const { kernelVariant: kernels, kernelChoice } = models[0]!;
    const ternary = [kernelChoice.gemv, kernelChoice.gemm];
    const settings = {
      shape: options.shape,
      file: file.path,
      model: file.fingerprint,
      threads,
      buffer,
      numerics,
      kernels,
      ternary,
      prompt,
      steps,
      head: heads,
      timing,
    };
    await print({ command: 'decode', settings: { ...settings, repeats, warmup }, ...measured }, options, io);
  });
}

/** A session of either kind: what matters here is which id is the most likely. */
export function sessionOf(model: Model, head: HeadKind, contextLength: number): Session<Logits> {
  const session =
    head === 'screened'
      ? model.createSession({ contextLength, head, topK: 1 })
      : model.createSession({ contextLength });
  return session as Session<Logits>;
}

/** How far a session is when it is measured. */
export interface DecodingOptions {
  readonly prompt: number;
  readonly steps: number;
  readonly warmup: number;
}

/** What is decoded with, and what tells it from others. */
export interface DecodingForm {
  readonly head: HeadKind;
  readonly timed: OnOff;
  readonly form: readonly string[];
}

/** Greedy decoding in one session. */
export class Decoding implements Subject {
  readonly name = 'decode';
  readonly detail: string;
  readonly threads: number;
  readonly limit = 'read';
  readonly tokensPerCall = 1;
  /** Decoded so far. */
  readonly ids: number[];
  readonly #model: Model;
  readonly #session: Session<Logits>;
  readonly #head: HeadKind;
  readonly #timed: OnOff;
  readonly #options: DecodingOptions;

  constructor(
    model: Model,
    session: Session<Logits>,
    { head, timed, form }: DecodingForm,
    first: number,
    options: DecodingOptions,
  ) {
    this.detail = [`after ${options.prompt} tokens`, ...form].join(', ');
    this.threads = model.threads;
    this.ids = [first];
    this.#model = model;
    this.#session = session;
    this.#head = head;
    this.#timed = timed;
    this.#options = options;
  }

  /** At the position in the middle of those measured. */
  bytesPerCall = (): number => {
    const { prompt, warmup, steps } = this.#options;
    return streamedBytes(this.#model, (prompt + warmup * steps + this.#session.position) / 2, this.#head);
  };

  sample(): Promise<Sample> {
    return countedSample(this.#model, async () => {
      this.#model.timeKernels(this.#timed === 'on');
      const durationsMs: number[] = [];
      for (let step = 0; step < this.#options.steps; step++) durationsMs.push(await this.step());
      this.#model.timeKernels(false);
      return { durationsMs };
    });
  }

  /** @returns milliseconds */
  protected async step(): Promise<number> {
    const start = performance.now();
    this.ids.push(argmax(await this.#session.evaluate([this.ids.at(-1)!])));
    return performance.now() - start;
  }
}
