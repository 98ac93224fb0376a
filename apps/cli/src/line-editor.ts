import { createInterface, type Interface } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import type { Io } from './io.ts';

/**
 * Lines that a person types, or that a file holds. In a terminal they can be edited and former ones come back; the
 * prompt and what is typed go to stderr, because stdout is for answers.
 */
export class LineEditor {
  readonly #io: Io;
  readonly #reader: Interface;
  readonly #waiting: string[] = [];
  readonly #release: () => void;
  #onLine: (() => void) | undefined;
  #onInterrupt: (() => void) | undefined;
  #failure: unknown;
  #hasEnded = false;

  constructor(io: Io) {
    this.#io = io;
    const input = io.stdin instanceof Readable ? io.stdin : Readable.from(io.stdin);
    const stderr = new Writable({
      write(chunk: Buffer, _encoding, done) {
        io.stderr.write(chunk.toString());
        done();
      },
    });
    const output = Object.assign(stderr, { columns: io.columns });
    this.#reader = createInterface({ input, output, terminal: io.isTerminal, prompt: io.isTerminal ? '> ' : '' });
    this.#reader.on('line', (line) => {
      this.#waiting.push(line);
      this.#onLine?.();
    });
    this.#reader.on('close', () => this.#end());
    input.on('error', (error) => this.#end(error));
    // In raw mode Ctrl-C is a key, otherwise a signal of the process.
    const interrupt = (): void => this.#interrupt();
    this.#reader.on('SIGINT', interrupt);
    this.#release = io.takeInterrupts(interrupt);
  }

  /** The next line; undefined when there are no more. */
  async next(): Promise<string | undefined> {
    if (this.#waiting.length === 0 && !this.#hasEnded) {
      this.#reader.prompt();
      await new Promise<void>((resolve) => {
        this.#onLine = resolve;
      });
      this.#onLine = undefined;
    }
    const line = this.#waiting.shift();
    if (line === undefined && this.#failure !== undefined) throw this.#failure;
    return line;
  }

  /** Gives Ctrl-C to `handler` until the result is called; otherwise it empties the line that is being typed. */
  takeInterrupts(handler: () => void): () => void {
    this.#onInterrupt = handler;
    return () => {
      this.#onInterrupt = undefined;
    };
  }

  [Symbol.dispose](): void {
    this.#release();
    this.#reader.close();
  }

  #interrupt(): void {
    if (this.#onInterrupt) return this.#onInterrupt();
    this.#io.stderr.write('\n(/exit or Ctrl-D leaves)\n');
    // Takes away what was typed: Ctrl-U, the line editor's own key.
    this.#reader.write(null, { ctrl: true, name: 'u' });
    this.#reader.prompt();
  }

  #end(error?: unknown): void {
    this.#failure ??= error;
    this.#hasEnded = true;
    this.#onLine?.();
  }
}
