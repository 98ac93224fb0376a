import { randomInt } from 'node:crypto';
import type { CompletionOptions, HeadKind, Model, ScreenedSession, Session } from '@bittern/engine';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { readEnvironment } from './environment.ts';
import { UsageError } from './errors.ts';
import type { Io } from './io.ts';
import { nonNegative, seedNumber, wholeNumber } from './options.ts';

// The options of commands that generate, and what they mean for the engine.

export interface SamplingOptions {
  readonly greedy?: true;
  readonly seed?: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repeatPenalty: number;
  readonly stop: readonly string[];
  readonly stopId: readonly number[];
}

/** How ids are chosen, as `--json` prints it. */
export interface Sampling {
  readonly seed: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

export function addSamplingOptions(command: Command): Command {
  const choices = ['seed', 'temperature', 'topK', 'topP', 'minP'];
  return command
    .addOption(new Option('--greedy', 'always take the most likely token').conflicts(choices))
    .addOption(new Option('--seed <number>', 'repeats a run exactly (default: random)').argParser(seedNumber))
    .addOption(
      new Option('--temperature <number>', 'divides the logits; 0 is greedy').default(0.8).argParser(nonNegative),
    )
    .addOption(
      new Option('--top-k <count>', 'choose among this many tokens; 0 is all').default(40).argParser(wholeNumber),
    )
    .addOption(
      new Option('--top-p <number>', 'choose among the most likely tokens with this probability together; 1 is all')
        .default(1)
        .argParser(positiveFraction),
    )
    .addOption(
      new Option('--min-p <number>', 'choose among tokens at least this fraction as likely as the first; 0 is all')
        .default(0)
        .argParser(fraction),
    )
    .addOption(
      new Option('--repeat-penalty <number>', 'makes the last 64 tokens less likely to come again; 1 is off')
        .default(1)
        .argParser(positive),
    )
    .addOption(
      new Option('--stop <text>', 'text that ends the answer and is not printed; may be given many times')
        .default([], 'none')
        .argParser(appendText),
    )
    .addOption(
      new Option('--stop-id <id>', 'token that ends the answer; may be given many times')
        .default([], 'none')
        .argParser(appendId),
    );
}

/** The seed is the option's, else the environment's, else random. */
export function samplingOf(options: SamplingOptions, io: Io): Sampling {
  const { temperature, topK, topP, minP, repeatPenalty } = options;
  if (options.greedy) return { seed: 0, temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: repeatPenalty };
  const seed = options.seed ?? readEnvironment(io).seed ?? randomInt(2 ** 32);
  return { seed, temperature, topK, topP, minP, repetitionPenalty: repeatPenalty };
}

/** @throws {UsageError} for a screened head where sampling looks at more than the largest logits */
export function refuseUnlessScreenable(head: HeadKind, { temperature, topK, repetitionPenalty }: Sampling): void {
  if (head !== 'screened') return;
  const why = '--head screened computes only the largest logits';
  if (repetitionPenalty !== 1) throw new UsageError(`${why}, and --repeat-penalty lets others become so.`);
  if (temperature > 0 && topK === 0) throw new UsageError(`${why}: give a --top-k above 0, or --greedy.`);
}

/** A session whose head gives what sampling looks at. */
export function sessionOf(model: Model, head: HeadKind, { temperature, topK }: Sampling): Session | ScreenedSession {
  if (head === 'exact') return model.createSession();
  const most = model.config.vocabSize;
  return model.createSession({ head, topK: temperature === 0 ? 1 : Math.min(topK, most) });
}

/** What ends an answer: the user's beside the template's. */
export function stopsOf(
  { stop, stopId }: SamplingOptions,
  template: { readonly stopStrings: readonly string[]; readonly stopIds: ReadonlySet<number> },
): Required<Pick<CompletionOptions, 'stop' | 'stopIds'>> {
  return { stop: [...template.stopStrings, ...stop], stopIds: new Set([...template.stopIds, ...stopId]) };
}

function appendText(text: string, before: readonly string[]): readonly string[] {
  if (text === '') throw new InvalidArgumentError('It must not be empty.');
  return [...before, text];
}

function appendId(text: string, before: readonly number[]): readonly number[] {
  return [...before, wholeNumber(text)];
}

function positive(text: string): number {
  const value = nonNegative(text);
  if (value === 0) throw new InvalidArgumentError('It must be more than 0.');
  return value;
}

function fraction(text: string): number {
  const value = nonNegative(text);
  if (value > 1) throw new InvalidArgumentError('It must be from 0 to 1.');
  return value;
}

function positiveFraction(text: string): number {
  positive(text);
  return fraction(text);
}
