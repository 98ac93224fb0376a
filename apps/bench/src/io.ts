/** What a command may touch of the outside world, files apart. Tests give their own. */
export interface Io {
  readonly stdout: {
    /** For results only. Rejects if nobody takes it. */
    write(text: string): Promise<void>;
  };
  readonly stderr: {
    write(text: string): void;
    /** Whether a person watches: then there is progress. */
    readonly isTTY: boolean;
  };
  /** Width of the terminal in columns. */
  readonly columns: number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** The process as an {@link Io}. The first Ctrl-C aborts `signal`, a second one ends the process. */
export function processIo(): Io {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  // A failed write is reported to its own callback; without this listener it would also crash the process.
  process.stdout.on('error', () => {});
  return {
    stdout: {
      write: (text) =>
        new Promise((resolve, reject) => {
          process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
        }),
    },
    stderr: { write: (text) => void process.stderr.write(text), isTTY: process.stderr.isTTY === true },
    columns: process.stdout.columns ?? 100,
    signal: controller.signal,
  };
}
