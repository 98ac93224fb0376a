import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BridgeError } from '../src/errors.ts';
import { NO_HOOKS } from '../src/hooks.ts';
import { KNOWN_MODEL, knownModel } from '../src/known-answer.ts';
import type { ReferenceLibrary } from '../src/library.ts';
import { ReferenceProcess } from '../src/process.ts';
import type { RequestBody } from '../src/protocol.ts';
import { HAS_NPM_LIBRARY, npmReference } from './npm-reference.ts';

/*
 * The bridge's worker with the real library, ended at every message of a session, before it and after it. Whatever was
 * answered whole before may stand; the request during which it ended fails, and so do those that follow.
 */

let folder: string;
let requests: readonly RequestBody[];

beforeAll(async () => {
  if (!HAS_NPM_LIBRARY) return;
  folder = await mkdtemp(join(tmpdir(), 'bittern-killed-'));
  const model = join(folder, 'known.gguf');
  await writeFile(model, await knownModel());
  const library: ReferenceLibrary = await npmReference();
  const context = { contextLength: 64, microBatch: 64, threads: 1, keys: 'f32', values: 'f32' } as const;
  const ids = [1, 2];
  requests = [
    { kind: 'open', library },
    { kind: 'load', model, context, hooks: NO_HOOKS },
    { kind: 'tokenize', text: 'the', parseSpecial: false, addSpecial: true },
    { kind: 'evaluate', ids, mode: 'batch-all' },
    { kind: 'decode', ids, mode: 'sequential', count: 2 },
    { kind: 'trace', ids, mode: 'batch-all', nodes: '^l_out-', overwrite: [] },
  ];
});

afterAll(async () => {
  if (HAS_NPM_LIBRARY) await rm(folder, { recursive: true, force: true });
});

/** Messages with which each request is answered: an item and its one part for each array, and the end. */
const MESSAGES = {
  open: 1,
  load: 1,
  tokenize: 1,
  evaluate: 2 * 2 + 1,
  decode: 2 * 2 + 1,
  trace: KNOWN_MODEL.layers * 2 + 1,
};
const TOTAL = Object.values(MESSAGES).reduce((sum, count) => sum + count, 0);

/** How many of the requests were answered, and why the others were not. */
async function session(die: string, timeoutMs?: number): Promise<{ answered: number; reasons: unknown[] }> {
  const child = new ReferenceProcess({
    name: 'the child',
    program: new URL('./doubles/dying-worker.ts', import.meta.url),
    env: { BITTERN_TEST_DIE: die },
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  const results = await Promise.allSettled(requests.map((body) => child.request(body, { accepts: () => true })));
  await child.dispose();
  const firstFailed = results.findIndex(({ status }) => status === 'rejected');
  const answered = firstFailed < 0 ? results.length : firstFailed;
  return {
    answered,
    reasons: results.slice(answered).map((result) => ('reason' in result ? result.reason : undefined)),
  };
}

describe.runIf(HAS_NPM_LIBRARY)('the real worker', () => {
  test('the session has as many messages as are counted here', async () => {
    expect(await session('SIGKILL after 1000')).toEqual({ answered: requests.length, reasons: [] });
    // Its very last message is number TOTAL - 1: without it the session is not whole, and there is none after it.
    expect((await session(`SIGKILL before ${TOTAL - 1}`)).answered).toBe(requests.length - 1);
    expect((await session(`SIGKILL before ${TOTAL}`)).answered).toBe(requests.length);
  });

  /** Requests that are whole when the first `count` messages have come. */
  function wholeAfter(count: number): number {
    let left = count;
    return Object.values(MESSAGES).findIndex((messages) => (left -= messages) < 0);
  }

  const EVERY_MESSAGE = Array.from({ length: TOTAL }, (_, number) => number);

  describe.each([
    ['SIGKILL', 'BRIDGE_ABORTED', EVERY_MESSAGE],
    // Node sends what is queued before it exits; a signal does not wait for that.
    ['exit', 'BRIDGE_EXITED', EVERY_MESSAGE],
    ['SIGABRT', 'BRIDGE_ABORTED', [0, TOTAL - 2]],
    ['disconnect', 'BRIDGE_EXITED', [0, TOTAL - 2]],
  ] as const)('%s', (how, code, numbers) => {
    test.concurrent.each(numbers)('before message %i', async (number) => {
      const { answered, reasons } = await session(`${how} before ${number}`);
      expect(answered).toBe(wholeAfter(number));
      expect(reasons.length).toBeGreaterThan(0);
      for (const reason of reasons) {
        expect(reason).toBeInstanceOf(BridgeError);
        expect((reason as BridgeError).code).toBe(code);
      }
    });
  });

  test('the requests after an end in mid-session fail too, though all that were sent had been answered', async () => {
    const { answered, reasons } = await session(`SIGKILL after ${TOTAL - 1 - MESSAGES.trace}`);
    expect(answered).toBeLessThanOrEqual(requests.length - 1);
    expect(reasons.at(-1)).toMatchObject({ code: 'BRIDGE_ABORTED' });
  });

  test('a child that hangs in mid-answer is killed by time-out', async () => {
    const { answered, reasons } = await session(`hang before ${TOTAL - 2}`, 2000);
    expect(answered).toBe(requests.length - 1);
    expect(reasons).toMatchObject([{ code: 'BRIDGE_TIMED_OUT' }]);
  });
});
