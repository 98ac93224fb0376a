/*
 * A parent with a child that computes and does not look up: it writes the child's process id and waits.
 */
import { ReferenceProcess } from '../../src/process.ts';

const child = new ReferenceProcess({
  name: 'the child',
  program: new URL('./dying-worker.ts', import.meta.url),
  env: { BITTERN_TEST_DIE: 'hang before 0' },
});
const answer = child.request({ kind: 'tokenize', text: '', parseSpecial: false, addSpecial: false });
process.stdout.write(`${child.pid}\n`);
await answer;
