import type { EvaluationMode, LadderCase, Recording, Side } from '@bittern/crossval';
import type { Prompt } from '../crossval/prompts.ts';
import { UsageError } from '../errors.ts';

/** What is compared where nobody says what: words, digits, punctuation, other scripts; one is longer than 32 tokens. */
const PROMPTS: readonly string[] = [
  'Once upon a time',
  "It's 1,234 o'clock: “héllo” – 你好, world!",
  'The quick brown fox jumps over the lazy dog, and the dog, who had seen many foxes in its life, did not even look up from its sleep.',
];
/** A trace has every operation of every token. */
const LONGEST_TRACED = 16;
/** Tokens beside those of the text: each has a byte or more of it. */
const ADDED_TOKENS = 16;
const MOST_GREEDY = 4096;

/** What a reference that runs is asked. */
export interface LiveRequest {
  readonly prompts: readonly Prompt[];
  readonly modes: readonly EvaluationMode[];
  readonly greedyCount: number;
  /** How many ids of a prompt are traced. Default: all of short prompts, none of others, as a recording wants them. */
  readonly traceLength?: number;
}

/** Prompts that were given, else the recording's, else a few of ours. */
export function promptsFor(given: readonly Prompt[] | undefined, recording: Recording | undefined): readonly Prompt[] {
  if (given !== undefined) return given;
  if (recording === undefined) return PROMPTS.map((text) => ({ text, parseSpecial: true }));
  const [reference] = recording.references;
  const seen = new Map(
    recording
      .cases(reference!.id)
      .map(({ text, parseSpecial }) => [JSON.stringify([text, parseSpecial]), { text, parseSpecial }]),
  );
  return [...seen.values()];
}

/**
 * A context that holds every prompt and what follows it, whatever the tokenizer does.
 *
 * @throws UsageError for more greedy ids than a running reference is given room for
 */
export function contextFor({ prompts, greedyCount }: Omit<LiveRequest, 'modes'>): number {
  if (!(greedyCount <= MOST_GREEDY)) {
    throw new UsageError(`--max-tokens ${greedyCount} is too many for a reference that runs: at most ${MOST_GREEDY}.`);
  }
  const longest = Math.max(...prompts.map(({ text }) => new TextEncoder().encode(text).length));
  return Math.max(512, longest + ADDED_TOKENS + greedyCount);
}

/** The prompts as cases, with the ids that the reference itself has for them. */
export async function liveCases(
  reference: Side,
  { prompts, modes, greedyCount, traceLength }: LiveRequest,
  signal: AbortSignal,
): Promise<LadderCase[]> {
  const cases: LadderCase[] = [];
  for (const [index, { text, parseSpecial }] of prompts.entries()) {
    const ids = await reference.tokenize(text, { parseSpecial, signal });
    for (const mode of modes) {
      const trace = (traceLength !== undefined || ids.length <= LONGEST_TRACED) && mode !== 'batch-last';
      const length = traceLength === undefined ? {} : { traceLength };
      cases.push({ id: `p${index}.${mode}`, text, parseSpecial, ids, mode, greedyCount, trace, ...length });
    }
  }
  // Without one the rungs of shapes and masks would have nothing to compare.
  if (!cases.some(({ trace }) => trace) && cases.length > 0) cases[0] = { ...cases[0]!, trace: true };
  return cases;
}
