import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { BridgeError } from '../src/errors.ts';
import { ReferenceProcess } from '../src/process.ts';
import type { Step } from './doubles/scripted-child.ts';

const program = new URL('./doubles/scripted-child.ts', import.meta.url);
const DONE = { type: 'done', result: { ids: [1] }, items: 0, values: 0 } as const;

function start(timeoutMs = 30_000, env: Record<string, string> = {}): ReferenceProcess {
  return new ReferenceProcess({ name: 'the double', program, timeoutMs, env });
}

async function run(child: ReferenceProcess, steps: readonly Step[], signal?: AbortSignal): Promise<unknown> {
  return await child.request<'tokenize'>(
    { kind: 'tokenize', text: JSON.stringify(steps), parseSpecial: false, addSpecial: false },
    { accepts: (header, length) => header.kind === 'row' && length === 4, signal },
  );
}

/** What a request to a fresh child ends with; the child must be gone afterwards. */
async function endOf(steps: readonly Step[], timeoutMs?: number, env?: Record<string, string>): Promise<BridgeError> {
  const child = start(timeoutMs, env);
  const error = await run(child, steps).then(
    (result) => expect.fail(`It passed with ${JSON.stringify(result)}.`),
    (reason: unknown) => reason,
  );
  await child.dispose();
  expect(isAlive(child.pid!)).toBe(false);
  expect(error).toBeInstanceOf(BridgeError);
  return error as BridgeError;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const ASSERTION = '/src/llama-context.cpp:1782: GGML_ASSERT(n_tokens_all <= cparams.n_batch) failed\n';

test('a child that aborts is reported with its signal and the last assertion', async () => {
  const error = await endOf([{ stderr: `loading\n${ASSERTION}some more words\n` }, { signal: 'SIGABRT' }]);
  expect(error.code).toBe('BRIDGE_ABORTED');
  expect(error.message).toContain('SIGABRT');
  expect(error.message).toContain('GGML_ASSERT(n_tokens_all <= cparams.n_batch)');
  expect(error.message).toContain('tokenize');
});

test.each([0, 1, 134])('a child that exits with code %i before its answer has exited, not answered', async (code) => {
  const error = await endOf([{ exit: code }]);
  expect(error.code).toBe('BRIDGE_EXITED');
  expect(error.message).toContain(`code ${code}`);
});

test('a child that hangs is killed after its time', async () => {
  const error = await endOf([{ hang: true }], 300);
  expect(error.code).toBe('BRIDGE_TIMED_OUT');
});

test('a child that closes its channel and lives on is ended', async () => {
  const error = await endOf([{ disconnect: true }], 30_000, { BITTERN_TEST_KEEP_ALIVE: '1' });
  expect(error.code).toBe('BRIDGE_BAD_MESSAGE');
  expect(error.message).toContain('closed the channel');
});

const ROW = { type: 'item', index: 0, header: { kind: 'row', position: 0 }, length: 4 };
const LIES: Record<string, readonly Step[]> = {
  'a string': [{ send: 'done' }],
  null: [{ send: null }],
  'no type': [{ send: {} }],
  'an unknown type': [{ send: { type: 'almost' } }],
  'another request': [{ send: { ...DONE, id: 99, sha256: '' } }],
  'no digest': [{ send: DONE }],
  'a wrong digest': [{ send: { ...DONE, sha256: 'a'.repeat(64) } }],
  'an unknown key': [{ send: { ...DONE, sha256: '', note: 'trust me' } }],
  'a result of another kind': [{ send: { ...DONE, result: { vocabSize: 5 }, sha256: '' } }],
  'ids that are no integers': [{ send: { ...DONE, result: { ids: [1.5] }, sha256: '' } }],
  'an item that nobody asked for': [{ send: { ...ROW, length: 5 } }],
  'an empty item': [{ send: { ...ROW, length: 0 } }],
  'an item too large for any memory': [{ send: { ...ROW, length: 2 ** 40 } }],
  'an item out of order': [{ send: { ...ROW, index: 1 } }],
  'an item within an item': [{ send: ROW }, { send: { ...ROW, index: 1 } }],
  'a part without an item': [{ part: { index: 0, offset: 0, values: [1] } }],
  'a part at a wrong offset': [{ send: ROW }, { part: { index: 0, offset: 2, values: [1, 2] } }],
  'a part of another item': [{ send: ROW }, { part: { index: 1, offset: 0, values: [1, 2] } }],
  'a part that is too long': [{ send: ROW }, { part: { index: 0, offset: 0, values: [1, 2, 3, 4, 5] } }],
  'an empty part': [{ send: ROW }, { part: { index: 0, offset: 0, values: [] } }],
  'a part that is no array': [{ send: ROW }, { send: { type: 'part', index: 0, offset: 0, values: 'x' } }],
  'an end within an item': [{ send: ROW }, { send: { ...DONE, items: 1, sha256: '' } }],
  'a failure with a code that is the parent’s to give': [
    { send: { type: 'failed', code: 'BRIDGE_TIMED_OUT', message: '' } },
  ],
};

test.each(Object.entries(LIES))('a child that sends %s is refused and ended', async (_, steps) => {
  const error = await endOf([...steps, { hang: true }], 20_000);
  expect(error.code).toBe('BRIDGE_BAD_MESSAGE');
});

test('a child that speaks unasked is ended, and the next request says why', async () => {
  const child = start();
  const done = 'b7c2';
  await expect(run(child, [{ send: { ...DONE, sha256: done } }, { send: DONE }])).rejects.toThrow(BridgeError);
  await expect(run(child, [])).rejects.toMatchObject({ code: 'BRIDGE_BAD_MESSAGE' });
  await child.dispose();
});

test('a report of the child leaves it usable', async () => {
  const child = start();
  const failed = { type: 'failed', code: 'BRIDGE_REFUSED', message: 'no such file' };
  await expect(run(child, [{ send: failed }])).rejects.toMatchObject({
    code: 'BRIDGE_REFUSED',
    message: 'no such file',
  });
  await expect(run(child, [{ send: failed }])).rejects.toMatchObject({ code: 'BRIDGE_REFUSED' });
  await child.dispose();
});

test('requests are answered one after the other, and all fail when the child dies', async () => {
  const child = start();
  const failed = { type: 'failed', code: 'BRIDGE_REFUSED', message: 'first' };
  const answers = [
    run(child, [{ send: failed }]),
    run(child, [{ signal: 'SIGSEGV' }]),
    run(child, [{ send: failed }]),
  ].map((answer) => answer.catch((error: BridgeError) => error.code));
  expect(await Promise.all(answers)).toEqual(['BRIDGE_REFUSED', 'BRIDGE_ABORTED', 'BRIDGE_ABORTED']);
  await child.dispose();
});

test('an abort rejects with its reason at once and ends the child', async () => {
  const child = start();
  const abort = new AbortController();
  const answer = run(child, [{ hang: true }], abort.signal);
  await delay(50);
  abort.abort(new Error('enough'));
  await expect(answer).rejects.toThrow('enough');
  await expect(run(child, [])).rejects.toMatchObject({ code: 'BRIDGE_DISPOSED' });
  await child.dispose();
  expect(isAlive(child.pid!)).toBe(false);
});

test('disposing ends a busy child, and can be done twice', async () => {
  const child = start();
  const answer = run(child, [{ hang: true }]).catch((error: unknown) => error);
  await delay(50);
  await Promise.all([child.dispose(), child.dispose()]);
  expect(await answer).toMatchObject({ code: 'BRIDGE_DISPOSED' });
  expect(isAlive(child.pid!)).toBe(false);
});

test('a child that floods stderr costs no memory, and its last words are kept', async () => {
  const error = await endOf([{ stderr: `${'x'.repeat(20_000)}\nGGML_ABORT: out of luck\n` }, { signal: 'SIGABRT' }]);
  expect(error.message).toContain('out of luck');
  expect((error.cause as string).length).toBeLessThanOrEqual(8192);
});

test('an error of the receiver ends the answer', async () => {
  const child = start();
  const answer = child.request<'tokenize'>(
    {
      kind: 'tokenize',
      text: JSON.stringify([{ send: ROW }, { part: { index: 0, offset: 0, values: [1, 2, 3, 4] } }] satisfies Step[]),
      parseSpecial: false,
      addSpecial: false,
    },
    {
      accepts: () => true,
      onItem: () => {
        throw new Error('no room');
      },
    },
  );
  await expect(answer).rejects.toThrow('no room');
  await child.dispose();
});

test.each([0, -1, NaN, 2 ** 31])('a time-out of %d ms is refused', (timeoutMs) => {
  expect(() => start(timeoutMs)).toThrow(RangeError);
});

test.runIf(process.platform === 'linux')('a busy child ends with its parent, whatever ends that', async () => {
  const parent = spawn(process.execPath, [fileURLToPath(new URL('./doubles/parent.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(line.toString());
  // Time to load the library's bindings and to begin to hang.
  await delay(1000);
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  for (let tries = 0; isAlive(pid) && tries < 100; tries++) await delay(50);
  expect(isAlive(pid)).toBe(false);
});
