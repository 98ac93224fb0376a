import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bittern, MODEL, temporaryFolder } from './support.ts';

const NO_REFERENCES = { HOME: '/nonexistent' };

test('a bitnet.cpp that is not set is not compared with, and the message says what to set', async () => {
  const { code, stdout, stderr } = await bittern(['crossval', '--exact', '--cpp-backend', 'bitnet', '--json'], {
    env: NO_REFERENCES,
  });
  expect(code).toBe(3);
  expect(stderr).toContain('BITNET_CPP_DIR is not set');
  expect(JSON.parse(stdout)).toMatchObject({ status: 'not-compared', ladders: [], forcedOperations: null });
});

test('a folder without a library is not compared with', async () => {
  const folder = await temporaryFolder();
  for (const [backend, variable] of [
    ['bitnet', 'BITNET_CPP_DIR'],
    ['llama', 'LLAMA_CPP_DIR'],
    // Set and wrong is never taken for not installed.
    ['installed', 'LLAMA_CPP_DIR'],
  ] as const) {
    const argv = ['crossval', '--cpp-backend', backend, '--numerics', 'avx2'];
    const { code, stderr } = await bittern(argv, { env: { ...NO_REFERENCES, [variable]: folder } });
    expect(code).toBe(3);
    expect(stderr).toContain(folder);
  }
});

test('a recording that fails leaves no folder, and none that was there is touched', async () => {
  const folder = await temporaryFolder();
  const output = join(folder, 'recording');
  const argv = ['crossval', 'record', '--cpp-backend', 'bitnet', '-m', MODEL, '-o'];
  expect((await bittern([...argv, output], { env: NO_REFERENCES })).code).toBe(1);
  expect(existsSync(output)).toBe(false);
  await writeFile(join(folder, 'kept'), '');
  expect((await bittern([...argv, folder], { env: NO_REFERENCES })).code).not.toBe(0);
  expect(await readdir(folder)).toEqual(['kept']);
});

test.each([
  [['--max-tokens', '0']],
  [['--max-tokens', 'many']],
  [['--cpp-backend', 'bitnet', '--max-tokens', '5000']],
  [['--cpp-backend', 'other']],
  [['--cpp-backend', 'llama', '--mode', 'batch-all']],
  [['--cpp-backend', 'llama', '--reference-model', MODEL]],
  [['--cpp-backend', 'installed', '--bisect']],
])('%j is bad usage', async (options) => {
  expect((await bittern(['crossval', ...options])).code).toBe(2);
});

/** Process ids of this process's children. */
async function children(): Promise<number[]> {
  const tasks = await readdir('/proc/self/task');
  const lists = await Promise.all(tasks.map((task) => readFile(`/proc/self/task/${task}/children`, 'utf8')));
  return lists.flatMap((list) => list.trim().split(' ').filter(Boolean).map(Number));
}

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('a running llama.cpp', () => {
  test('that is killed half-way has not been compared with', async () => {
    let killed = false;
    const abort = new AbortController();
    const run = bittern(
      [
        'crossval',
        '--cpp-backend',
        'llama',
        '--json',
        '--prompt',
        'Once upon a time, there was',
        '--max-tokens',
        '400',
      ],
      {
        env: NO_REFERENCES,
        isTTY: true,
        signal: abort.signal,
        onProgress: (text) => {
          if (!text.includes('llama.cpp avx2: decode') || killed) return;
          killed = true;
          void children().then((pids) => pids.forEach((pid) => process.kill(pid, 'SIGKILL')));
        },
      },
    );
    const { code, stdout } = await run;
    expect(killed).toBe(true);
    expect(code).toBe(3);
    const { status, ladders } = JSON.parse(stdout);
    expect(status).toBe('not-compared');
    expect(ladders[0].failures[0]).toMatchObject({ code: 'SIDE_FAILED', details: { code: 'BRIDGE_ABORTED' } });
    expect(await children()).toEqual([]);
  });

  test('is compared with beside the recording, if it is installed', async () => {
    const argv = [
      'crossval',
      '--exact',
      '--cpp-backend',
      'installed',
      '--numerics',
      'avx2',
      '--max-tokens',
      '2',
      '--json',
    ];
    const { code, stdout } = await bittern([...argv, '--prompt', 'Once upon a time'], { env: NO_REFERENCES });
    expect(code).toBe(0);
    const { ladders, forcedOperations, notInstalled } = JSON.parse(stdout);
    expect(ladders.map(({ reference }: { reference: { name: string } }) => reference.name)).toEqual([
      'bitnet.cpp',
      'llama.cpp',
    ]);
    expect(forcedOperations.length).toBeGreaterThan(20);
    expect(notInstalled).toEqual([]);
  });
});
