import type { EvaluationMode, LadderCase, Recording, Side } from '@bittern/crossval';

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

export interface LivePrompt {
  readonly text: string;
  readonly parseSpecial: boolean;
}

/** Prompts that were given, else the recording's, else a few of ours. */
export function promptsFor(given: readonly string[] | undefined, recording: Recording | undefined): LivePrompt[] {
  if (given !== undefined) return given.map((text) => ({ text, parseSpecial: true }));
  if (recording === undefined) return PROMPTS.map((text) => ({ text, parseSpecial: true }));
  const [reference] = recording.references;
  const seen = new Map(
    recording
      .cases(reference!.id)
      .map(({ text, parseSpecial }) => [JSON.stringify([text, parseSpecial]), { text, parseSpecial }]),
  );
  return [...seen.values()];
}

/** A context that holds every prompt and what follows it, whatever the tokenizer does. */
export function contextFor(prompts: readonly LivePrompt[], greedy: number): number {
  const longest = Math.max(...prompts.map(({ text }) => new TextEncoder().encode(text).length));
  return Math.max(512, longest + ADDED_TOKENS + greedy);
}

/** The prompts as cases, with the ids that the reference itself has for them. */
export async function liveCases(
  reference: Side,
  prompts: readonly LivePrompt[],
  modes: readonly EvaluationMode[],
  greedyCount: number,
  signal: AbortSignal,
): Promise<LadderCase[]> {
  const cases: LadderCase[] = [];
  for (const [index, { text, parseSpecial }] of prompts.entries()) {
    const ids = await reference.tokenize(text, { parseSpecial, signal });
    for (const mode of modes) {
      const trace = ids.length <= LONGEST_TRACED && mode !== 'batch-last';
      cases.push({ id: `p${index}.${mode}`, text, parseSpecial, ids, mode, greedyCount, trace });
    }
  }
  // Without one the rungs of shapes and masks would have nothing to compare.
  if (!cases.some(({ trace }) => trace) && cases.length > 0) cases[0] = { ...cases[0]!, trace: true };
  return cases;
}
