// One of the threads that measure a limit together. Plain JavaScript, as a worker of Node 22 cannot start from TypeScript
// under every test runner. See src/limits.ts, which tells what the words of `control` are.
import { parentPort, workerData } from 'node:worker_threads';

const { module, memory, control, thread, begin, end, operands, cached } = workerData;
const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
const [TURN, DONE, KERNEL, ROUNDS] = [0, 1, 2, 3];
const CACHED_BYTES = 16_384;
const kernels = [
  () => exports.read(begin, end),
  (rounds) => exports.dot12(operands, rounds),
  (rounds) => exports.dot24(operands, rounds),
  (rounds) => exports.dotPairs6(operands, rounds),
  (rounds) => {
    for (let round = 0; round < rounds; round++) exports.read(cached, cached + CACHED_BYTES);
  },
  () => exports.readPages(begin, end),
];

// Pages that were never written are all the same one, which would be read from the cache.
new Uint8Array(memory.buffer, begin, end - begin).fill(thread + 1);
parentPort.postMessage('ready');

for (let turn = 0; ; turn++) {
  Atomics.wait(control, TURN, turn);
  const kernel = kernels[Atomics.load(control, KERNEL)];
  if (kernel === undefined) break;
  kernel(Atomics.load(control, ROUNDS));
  Atomics.add(control, DONE, 1);
  Atomics.notify(control, DONE);
}
