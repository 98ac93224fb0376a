import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { predicateOf, QUICK } from './receipt-support.ts';
import { bittern, MODEL, temporaryFolder } from './support.ts';

/** The built command: `pnpm run build` makes it. */
const BIN = fileURLToPath(new URL('../dist/bin.js', import.meta.url));
const BIN_SOURCE = fileURLToPath(new URL('../src/bin.ts', import.meta.url));
const run = promisify(execFile);

describe('the process', () => {
  test('prints what main prints, and ends with 0', async () => {
    const argv = ['run', '-p', 'Once upon a time', '-n', '16', '--seed', '7'];
    const { stdout } = await run(process.execPath, [BIN, ...argv]);
    expect(stdout).toBe((await bittern(argv)).stdout);
  });

  test('a receipt says what the program was built from, wherever it runs', async () => {
    const folder = await temporaryFolder();
    const receipt = join(folder, 'receipt.json');
    await run(process.execPath, [BIN, 'benchmark', ...QUICK, '--receipt', receipt], { cwd: folder });
    const { commit, modified } = (await predicateOf(receipt)).tool;
    const tracked = await run('git', ['-C', dirname(BIN_SOURCE), 'ls-files', '--error-unmatch', BIN_SOURCE]).then(
      () => true,
      () => false,
    );
    expect({ commit: /^[0-9a-f]{40}$/.test(commit ?? ''), modified: typeof modified === 'boolean' }).toEqual({
      commit: tracked,
      modified: tracked,
    });
  });

  test('ends with the exit code of main', async () => {
    await expect(run(process.execPath, [BIN, 'run', '--gredy'])).rejects.toMatchObject({ code: 2, stdout: '' });
  });

  test('ends with 130 on SIGINT', async () => {
    const child = spawn(process.execPath, [BIN, 'run', '-p', 'Once', '-n', '400', '--greedy']);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([130, null]);
  });

  test('chat: SIGINT stops the answer, and the program goes on', async () => {
    const child = spawn(process.execPath, [BIN, 'chat', '--greedy', '-n', '400']);
    let stdout = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stdin.write('Hi\n');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    while (!stdout.includes('\n')) await once(child.stdout, 'data');
    const stopped = stdout.slice(0, stdout.indexOf('\n'));
    child.stdin.end('/clear\nHi\n');
    expect(await once(child, 'close')).toEqual([0, null]);
    const [, whole] = stdout.split('\n');
    expect(whole!.startsWith(stopped)).toBe(true);
    expect(stopped.length).toBeLessThan(whole!.length);
  });

  test('reads standard input, and ends with 130 on SIGINT while it waits for it', async () => {
    const argv = [BIN, 'tokenize', '-m', MODEL, '-p', '-', '--json'];
    const fed = run(process.execPath, argv);
    fed.child.stdin!.end('Once');
    expect(JSON.parse((await fed).stdout).ids).toEqual([4093, 2833]);

    const waiting = spawn(process.execPath, argv);
    let stdout = '';
    waiting.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    // More than the system holds between two processes: when all is written, it reads. The end does not come.
    await new Promise((resolve) => waiting.stdin.write(Buffer.alloc(2 ** 22, 'a '), resolve));
    waiting.kill('SIGINT');
    expect(await once(waiting, 'close')).toEqual([130, null]);
    expect(stdout).toBe('');
  });

  test('ends quietly when its reader goes away', async () => {
    const child = spawn(process.execPath, [BIN, 'run', '-p', 'Once', '-n', '400', '--seed', '1']);
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(stderr).toBe('seed 1\n');
  });
});
