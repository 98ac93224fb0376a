import { addAbortSignal } from 'node:stream';
import type { Io } from './io.ts';

/**
 * The process as an {@link Io}. The first Ctrl-C aborts `signal`; a second one, if the command does not come to it,
 * ends the process as the system does by default.
 */
export function processIo(): Io {
  const controller = new AbortController();
  let taken: (() => void) | undefined;
  const onInterrupt = (): void => {
    if (taken) return taken();
    process.off('SIGINT', onInterrupt);
    controller.abort();
  };
  process.on('SIGINT', onInterrupt);
  // A failed write is reported to its own callback; without these listeners it would also crash the process.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  return {
    // Only when it is wanted: opening it has effects of its own.
    get stdin() {
      return addAbortSignal(controller.signal, process.stdin);
    },
    isTerminal: process.stdin.isTTY === true && process.stderr.isTTY === true,
    stdout: {
      write: (text) =>
        new Promise((resolve, reject) => {
          process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
        }),
      isTTY: process.stdout.isTTY === true,
    },
    stderr: {
      write: (text) => void process.stderr.write(text),
      isTTY: process.stderr.isTTY === true,
    },
    env: process.env,
    columns: process.stdout.columns ?? 100,
    signal: controller.signal,
    takeInterrupts(handler) {
      taken = handler;
      return () => {
        taken = undefined;
      };
    },
  };
}
