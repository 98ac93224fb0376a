import { writeSync } from 'node:fs';

/*
 * A child that does what it is told: the text of a `tokenize` request is a list of steps in JSON. Everything that a
 * broken or lying library could make a child do is done by it, without a library.
 */

export type Step =
  | { readonly send: unknown }
  /** A part with these values. */
  | { readonly part: { readonly index: number; readonly offset: number; readonly values: readonly number[] } }
  | { readonly stderr: string }
  | { readonly exit: number }
  | { readonly signal: NodeJS.Signals }
  | { readonly disconnect: true }
  /** Never comes back. */
  | { readonly hang: true };

function run(id: number, steps: readonly Step[]): void {
  for (const step of steps) {
    if ('send' in step) process.send!(withId(id, step.send));
    else if ('part' in step)
      process.send!({ type: 'part', id, ...step.part, values: Float32Array.from(step.part.values) });
    else if ('stderr' in step) writeSync(2, step.stderr);
    else if ('exit' in step) process.exit(step.exit);
    else if ('signal' in step) process.kill(process.pid, step.signal);
    else if ('disconnect' in step) process.disconnect!();
    else for (;;);
  }
}

/** The right id for a message that gives none; others are sent as they are. */
function withId(id: number, message: unknown): object {
  return typeof message === 'object' && message !== null && !('id' in message)
    ? { id, ...message }
    : (message as object);
}

process.on('message', (message) => {
  const { id, text } = message as { id: number; text: string };
  run(id, JSON.parse(text) as Step[]);
});
// A disconnected child lives on, as one that is stuck in a library would.
if (process.env['BITTERN_TEST_KEEP_ALIVE']) setInterval(() => {}, 1000);
