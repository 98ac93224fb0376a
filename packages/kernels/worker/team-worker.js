// A thread of the team: a Worker of Node or of a browser. Plain JavaScript, so that it can be loaded from the sources
// and from the package alike. See src/team.ts.

/** Must fit the bytes that src/team.ts keeps for it. */
const MESSAGE_BYTES = 1024;

const port = globalThis.process?.versions?.node ? (await import('node:worker_threads')).parentPort : globalThis;

port.addEventListener('message', async ({ data }) => {
  const { module, memory, counters, team, message, thread, threads, epoch } = data;
  try {
    const { exports } = await WebAssembly.instantiate(module, { env: { memory, now: () => performance.now() } });
    exports.useCounters(counters, false);
    port.postMessage('ready');
    try {
      exports.serve(team, thread, threads, epoch);
    } catch (error) {
      // The main thread waits inside WebAssembly: it can read memory, but receive no message.
      const bytes = new TextEncoder().encode(String(error)).subarray(0, MESSAGE_BYTES);
      new Uint8Array(memory.buffer, message, bytes.length).set(bytes);
      exports.fail(team);
    }
  } catch (error) {
    port.postMessage(String(error));
  }
  port.close();
});
port.start?.();
