import { type Decoder, generate, refuseBadLimits } from './decode.ts';
import { EngineError, needsAllLogits } from './errors.ts';
import { choosesAmongMore } from './largest.ts';
import { logProbabilities, type TokenLogProbability } from './log-probabilities.ts';
import { refuseUnknownOptions } from './options.ts';
import { createSampler, PENALTY_NEEDS_ALL, type SamplerOptions } from './sampling.ts';
import type { SessionModel } from './session.ts';
import { StopStrings } from './stop-strings.ts';
import type { TextCodec } from './text-codec.ts';
import { DEFAULT_TOP_K, type Logits } from './top-logits.ts';

/** The sampling options are {@link SamplerOptions}; without a temperature decoding is greedy. */
export interface CompletionOptions extends Omit<SamplerOptions, 'seed'> {
  /** Default 0: greedy. */
  readonly temperature?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Most ids to generate. Default: until the context is full. */
  readonly maxTokens?: number;
  /** Strings that end the generation: neither they nor what follows come as text. Default none. */
  readonly stop?: readonly string[];
  /** Ids that end the generation. Default: the tokenizer's `eogIds`, or none. */
  readonly stopIds?: ReadonlySet<number>;
  /** For each id its log-probability, and those of so many of the most likely ones. Default: none of it. */
  readonly logprobs?: number;
  /** What happens when the context is full: `GenerateOptions.shift`. Default: the generation ends. */
  readonly shift?: { readonly keep: number };
  /** Called when the prompt was evaluated, with how many of its tokens were in the cache already. */
  readonly onPrompt?: (prompt: { readonly ids: readonly number[]; readonly reused: number }) => void;
  /** Checked before each token and within a prompt: see `EvaluateOptions.signal`. */
  readonly signal?: AbortSignal | undefined;
}

/** Why a generation ended; `context` is full. */
export type End = 'stop-id' | 'stop-string' | 'count' | 'context';

/** One generated id. */
export interface Piece {
  readonly id: number;
  /**
   * The text that is certain with this id: whole characters, and nothing that may still become a stop string. Often none.
   * The texts of all pieces together are the answer. Empty without a tokenizer.
   */
  readonly text: string;
  /** With `logprobs`. */
  readonly logprob?: number;
  /** With `logprobs`, most likely first, lowest id first among equals. */
  readonly top?: readonly TokenLogProbability[];
  /** With the last piece. */
  readonly end?: End;
  /** The stop string that was found. */
  readonly stop?: string;
}

const KNOWN_OPTIONS: readonly (keyof CompletionOptions)[] = [
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
  'seed',
  'maxTokens',
  'stop',
  'stopIds',
  'logprobs',
  'shift',
  'onPrompt',
  'signal',
];

/** Evaluates a prompt and continues it: `session.generate`. */
export async function* complete<Row extends Logits>(
  session: Decoder<Row>,
  { tokenizer, config }: Pick<SessionModel, 'tokenizer' | 'config'>,
  prompt: string | readonly number[],
  options: CompletionOptions,
): AsyncGenerator<Piece, void, undefined> {
  const { temperature = 0, topK, topP, minP, repetitionPenalty, seed = 0 } = options;
  const { maxTokens = Infinity, stop = [], stopIds = tokenizer?.eogIds, logprobs, shift, onPrompt, signal } = options;
  refuseUnknownOptions(options, KNOWN_OPTIONS);
  refuseBadLimits(session, { maxTokens, shift });
  if (stop.some((string) => string === '')) throw new RangeError('An empty stop string would end every text.');
  if (stop.length > 0 && tokenizer === undefined) throw noTokenizer('Stop strings');
  if (logprobs !== undefined && !(Number.isInteger(logprobs) && logprobs >= 0))
    throw new RangeError(`logprobs ${logprobs} is not a whole number from 0 up.`);
  const sampler = createSampler({
    temperature,
    seed,
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
    ...(repetitionPenalty !== undefined && { repetitionPenalty }),
  });
  if (session.topK !== undefined) refuseMoreThan(session.topK, config.vocabSize, options);
  const ids = typeof prompt === 'string' ? encode(prompt, tokenizer) : prompt;
  const reused = session.reusable(ids);
  const logits = await session.prompt(ids, { signal });
  onPrompt?.({ ids, reused });

  const characters = tokenizer?.decodeStream({ skipSpecial: true });
  const stops = new StopStrings(stop);
  let row: Logits = logits;
  let count = 0;
  const generated = generate(session, logits, {
    maxTokens,
    sampler,
    ...(stopIds && { stopIds }),
    shift,
    signal,
    onLogits: (current) => {
      row = current;
    },
  });
  for await (const id of generated) {
    count += 1;
    let text = characters ? stops.push(characters.push(id)) : '';
    let end: End | undefined;
    if (stops.found !== undefined) end = 'stop-string';
    else if (stopIds?.has(id)) end = 'stop-id';
    else if (count === maxTokens) end = 'count';
    else if (session.position === session.contextLength && !shift) end = 'context';
    if (end !== undefined && end !== 'stop-string' && characters) {
      text += stops.push(characters.flush());
      if (stops.found === undefined) text += stops.flush();
      else end = 'stop-string';
    }
    yield {
      id,
      text,
      ...(logprobs !== undefined && !('ids' in row) && logProbabilities(row, id, logprobs)),
      ...(end !== undefined && { end }),
      ...(stops.found !== undefined && { stop: stops.found }),
    };
    if (end !== undefined) return;
  }
}

/**
 * What the sampler would refuse too, but before the prompt is evaluated.
 *
 * @throws {EngineError} ENGINE_NEEDS_ALL_LOGITS for what needs more than the `given` largest logits
 */
function refuseMoreThan(given: number, vocabSize: number, options: CompletionOptions): void {
  const { temperature = 0, topK = DEFAULT_TOP_K, repetitionPenalty = 1, logprobs } = options;
  if (logprobs !== undefined) throw needsAllLogits('A log-probability takes the sum over all logits', given);
  if (repetitionPenalty !== 1) throw needsAllLogits(PENALTY_NEEDS_ALL, given);
  if (temperature > 0 && given < vocabSize && (topK === 0 || topK > given)) throw choosesAmongMore(topK, given);
}

function encode(text: string, tokenizer: TextCodec | undefined): readonly number[] {
  if (tokenizer === undefined) throw noTokenizer('A prompt of text');
  return tokenizer.encode(text);
}

function noTokenizer(what: string): EngineError {
  return new EngineError(
    'ENGINE_NO_TOKENIZER',
    `${what} needs a tokenizer: load the model with loadTextModel of @bittern/engine/text, or with the option tokenizer.`,
  );
}
