/** One thing that is measured in turn with others. */
export interface Turn {
  /** Takes one sample and keeps it, unless it is to warm up. */
  take(warmup: boolean): void | Promise<void>;
}

export interface InterleaveOptions {
  readonly repeats: number;
  readonly warmup: number;
  readonly signal: AbortSignal;
  /** Before each round, the warm-up's too. */
  readonly onRound?: (round: number, rounds: number) => void;
}

/**
 * Takes samples in turn, first of each thing, then of each again, and so on. Whatever disturbs the machine for a while
 * then disturbs all of them, and their medians can be compared.
 */
export async function interleave(turns: readonly Turn[], options: InterleaveOptions): Promise<void> {
  const { repeats, warmup, signal, onRound } = options;
  for (let round = 0; round < warmup + repeats; round++) {
    onRound?.(round, warmup + repeats);
    for (const turn of turns) {
      await new Promise((resolve) => void setImmediate(resolve)); // Ctrl-C can arrive
      signal.throwIfAborted();
      await turn.take(round < warmup);
    }
  }
}
