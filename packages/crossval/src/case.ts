import type { EvaluationMode } from './side.ts';

/** A prompt to compare, with the ids that the reference's own tokenizer gave for it. */
export interface LadderCase {
  /** Unique among the cases of a run, for example `p0.batch-all`. */
  readonly id: string;
  readonly text: string;
  /** Whether special tokens spelled in the text become their ids. */
  readonly parseSpecial: boolean;
  readonly ids: readonly number[];
  readonly mode: EvaluationMode;
  /** How many greedy ids are compared. */
  readonly greedyCount: number;
  /** Whether the reference has a trace of this prompt in this mode. */
  readonly trace: boolean;
  /** How many of the ids are traced, from the first. Default: all. */
  readonly traceLength?: number;
}

/** The ids whose trace is compared. */
export function tracedIds({ ids, traceLength }: LadderCase): readonly number[] {
  return traceLength === undefined ? ids : ids.slice(0, traceLength);
}

/** The positions for which an evaluation in `mode` must give logits. */
export function expectedPositions(mode: EvaluationMode, tokenCount: number): number[] {
  return mode === 'batch-last' ? [tokenCount - 1] : Array.from({ length: tokenCount }, (_, position) => position);
}
