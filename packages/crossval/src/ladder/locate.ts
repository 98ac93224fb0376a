import type { LadderCase } from '../case.ts';
import type { EvaluationMode, Side, TraceTap } from '../side.ts';
import { captureTrace } from '../trace/capture.ts';
import { diffTraces, RESIDUAL, type TraceDiff } from '../trace/diff.ts';
import { elementsOf, keyOf } from '../trace/tap-layout.ts';
import type { TraceView } from '../trace/trace-view.ts';

/** Where two sides part. */
export interface Whereabouts {
  readonly case: string;
  readonly mode: EvaluationMode;
  /** What was traced on both sides: the case's ids, or those up to the position that fails. */
  readonly ids: readonly number[];
  readonly diff: TraceDiff;
}

/** {@link Whereabouts}, with both traces still at hand. */
export interface Located extends Whereabouts {
  readonly reference: TraceView;
  readonly ours: TraceView;
}

/** What may be traced to find a difference. */
export interface Candidate {
  readonly ladderCase: LadderCase;
  readonly mode: EvaluationMode;
  readonly ids: readonly number[];
}

export interface LocateOptions {
  /** Values of one side's trace that are held at a time, in bytes. Default 256 MiB. */
  readonly budgetBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_BUDGET_BYTES = 256 * 2 ** 20;
/** At most so many operations of the window before are held again: the inputs of the first of a window. */
const OVERLAP = 64;

/**
 * Traces both sides for each candidate until one shows a difference.
 *
 * @returns the first with a difference, else the first that could be traced at all, else undefined: a recording may
 *   hold none of them; and why a candidate could not be traced, for people
 */
export async function locate(
  ours: Side,
  reference: Side,
  candidates: readonly Candidate[],
  options: LocateOptions = {},
): Promise<{ located: Located | undefined; notes: string[] }> {
  let equal: Located | undefined;
  const notes: string[] = [];
  for (const candidate of candidates) {
    options.signal?.throwIfAborted();
    try {
      const located = await traceBoth(ours, reference, candidate, options);
      if (located.diff.first !== null) return { located, notes };
      equal ??= located;
    } catch (error) {
      options.signal?.throwIfAborted();
      const { ladderCase, mode, ids } = candidate;
      const why = error instanceof Error ? error.message : String(error);
      notes.push(`The trace of ${ids.length} ids of ${ladderCase.id} in mode ${mode} could not be compared: ${why}`);
    }
  }
  return { located: equal, notes };
}

async function traceBoth(
  ours: Side,
  reference: Side,
  { ladderCase, mode, ids }: Candidate,
  { budgetBytes = DEFAULT_BUDGET_BYTES, signal }: LocateOptions,
): Promise<Located> {
  for (let from = 0; ;) {
    const window = new Window(from, budgetBytes);
    const theirs = await captureTrace(reference, ids, { mode, signal, keep: (tap, index) => window.takes(tap, index) });
    const mine = await captureTrace(ours, ids, { mode, signal, keep: (tap) => window.kept.has(keyOf(tap)) });
    const diff = await diffTraces(theirs, mine, { signal });
    // The residual stream is held beyond the window, too: what differs there first need not be the first.
    if (window.end === undefined || (diff.first !== null && diff.first.index < window.end)) {
      return { case: ladderCase.id, mode, ids, diff, reference: theirs, ours: mine };
    }
    from = Math.max(from + 1, window.end - Math.min(OVERLAP, Math.floor((window.end - from) / 4)));
  }
}

/** The operations that are held: from one on as many as the budget allows, and always the residual stream, for the drift. */
class Window {
  readonly kept = new Set<string>();
  /** The first operation that no longer fits; undefined where all do. */
  end: number | undefined;
  readonly #from: number;
  readonly #budgetBytes: number;
  #bytes = 0;

  constructor(from: number, budgetBytes: number) {
    this.#from = from;
    this.#budgetBytes = budgetBytes;
  }

  takes(tap: TraceTap, index: number): boolean {
    const bytes = 4 * elementsOf(tap.shape);
    const fits = index === this.#from || this.#bytes + bytes <= this.#budgetBytes;
    if (index >= this.#from && !fits) this.end ??= index;
    const inWindow = index >= this.#from && this.end === undefined;
    if (!inWindow && !RESIDUAL.test(tap.name)) return false;
    if (inWindow) this.#bytes += bytes;
    this.kept.add(keyOf(tap));
    return true;
  }
}
