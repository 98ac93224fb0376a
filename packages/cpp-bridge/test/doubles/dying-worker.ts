import process from 'node:process';

/*
 * The bridge's own worker, which ends at a given message: `BITTERN_TEST_DIE` is `<how> <when> <number>`, for example
 * `SIGKILL before 3`: before its fourth message is sent.
 */

const [how = '', when, number] = (process.env['BITTERN_TEST_DIE'] ?? '').split(' ');
const send = process.send!.bind(process) as (...values: unknown[]) => boolean;
let sent = 0;

function die(): void {
  if (how === 'exit') process.exit(0);
  if (how === 'disconnect') process.disconnect!();
  else if (how === 'hang') for (;;);
  else process.kill(process.pid, how as NodeJS.Signals);
}

process.send = (...values: unknown[]): boolean => {
  const isLast = sent++ === Number(number);
  if (isLast && when === 'before') die();
  const ok = send(...values);
  if (isLast && when === 'after') die();
  return ok;
};

await import('../../src/worker.ts');
