/** What a command may touch of the outside world, files apart. Tests give their own. */
export interface Io {
  /** In pieces. Reading ends with an error when `signal` is aborted. */
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Whether a person types it, into a terminal that can edit lines. */
  readonly isTerminal: boolean;
  readonly stdout: {
    /** For results only. Resolves when the text is handed over; rejects if nobody takes it (EPIPE, ENOSPC). */
    write(text: string): Promise<void>;
    /** Whether a person reads it as it comes. */
    readonly isTTY: boolean;
  };
  readonly stderr: {
    write(text: string): void;
    /** Whether a person watches: then there is progress. */
    readonly isTTY: boolean;
  };
  /** Variables of the environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Width of the terminal in columns. */
  readonly columns: number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Gives Ctrl-C to `handler`, which then does not abort `signal`; until the result is called. */
  takeInterrupts(handler: () => void): () => void;
}
