import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, realpath, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findReference } from '@bittern/cpp-bridge';
import { describe, expect, test, vi } from 'vitest';
import { preflightRecording } from '../src/recording-preflight.ts';
import { bittern, changedModel, changedRecording, MODEL, temporaryFolder } from './support.ts';

/** The built command: `pnpm run build` makes it. */
const BIN = fileURLToPath(new URL('../dist/bin.js', import.meta.url));

async function environment(): Promise<{ PATH: string; HOME: string }> {
  return { PATH: process.env.PATH!, HOME: await realpath(await temporaryFolder()) };
}

/** Folder of the npm package's libraries, whatever the environment of the tests says. */
async function npmFolder(): Promise<string> {
  const { files } = await findReference('llama', { env: { HOME: '/nonexistent' } });
  return join(files.llama, '..');
}

async function commit(files: Record<string, string>): Promise<{ repo: string; commit: string }> {
  const repo = await realpath(await temporaryFolder());
  for (const [name, text] of Object.entries(files)) await writeFile(join(repo, name), text);
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.com', ...args], {
      cwd: repo,
      encoding: 'utf8',
    });
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '-m', 'one');
  return { repo, commit: git('rev-parse', 'HEAD').trim() };
}

describe('preflight', () => {
  test('without --backend, what is not set is skipped, and that is a success', async () => {
    const { code, stdout, stderr } = await bittern(['preflight'], { env: await environment() });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^bitnet\.cpp: skipped\n {2}BITNET_CPP_DIR is not set\.\n {2}Next: bittern fetch-cpp --backend bitnet /,
    );
    expect(stdout).toMatch(
      /\nllama\.cpp: ok\n {2}from: npm package .*\n {2}version 0\.5\.0-dev, new API, CPU variant \w+\n {2}known answer: right/,
    );
    expect(stdout).toMatch(/\nrecording of bitnet\.cpp: ok\n {2}builds: avx512, avx2\n\n1 skipped, 2 ok\n$/);
  });

  test('what was asked for must be there', async () => {
    const env = await environment();
    expect(await bittern(['preflight', '--backend', 'llama'], { env })).toMatchObject({ code: 0 });
    expect(await bittern(['preflight', '--backend', 'recording'], { env })).toMatchObject({ code: 0 });
    const bitnet = await bittern(['preflight', '--backend', 'bitnet'], { env });
    expect(bitnet).toMatchObject({ code: 1, stdout: expect.stringMatching(/^bitnet\.cpp: missing\n/) });
    expect(await bittern(['preflight', '--backend', 'all'], { env })).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/1 missing, 2 ok\n$/),
    });
  });

  test('what is set but wrong is a failure, asked for or not', async () => {
    const env = { ...(await environment()), BITNET_CPP_DIR: '/no/such/folder' };
    const { code, stdout } = await bittern(['preflight'], { env });
    expect(code).toBe(1);
    expect(stdout).toContain(
      'bitnet.cpp: missing\n  BITNET_CPP_DIR (/no/such/folder) has no libllama: there is no such folder.',
    );
  });

  test('a damaged library is broken, another file incompatible', async () => {
    const env = await environment();
    const folder = join(env.HOME, 'llama');
    await cp(await npmFolder(), folder, { recursive: true });
    await truncate(join(folder, 'libggml-base.so'), 100_000);
    const argv = ['preflight', '--backend', 'llama', '--json'];
    const report = async (): Promise<unknown> =>
      JSON.parse((await bittern(argv, { env: { ...env, LLAMA_CPP_DIR: folder } })).stdout);
    expect(await report()).toMatchObject({
      ok: false,
      backends: [{ status: 'broken', problem: { code: 'BRIDGE_DAMAGED_LIBRARY' } }],
    });
    await writeFile(join(folder, 'libggml-base.so'), 'text');
    expect(await report()).toMatchObject({
      ok: false,
      backends: [{ status: 'incompatible', problem: { code: 'BRIDGE_BAD_LIBRARY' } }],
    });
  });

  test('--json: one document with all that is known', async () => {
    const { code, stdout } = await bittern(['preflight', '--json'], { env: await environment() });
    expect(code).toBe(0);
    const digest = expect.stringMatching(/^[\da-f]{64}$/);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      backends: [
        { backend: 'bitnet', status: 'skipped', problem: { code: 'BRIDGE_NOT_FOUND' } },
        {
          backend: 'llama',
          status: 'ok',
          generation: 'new',
          release: 'v0.5.0',
          version: { llama: '0.5.0-dev', ggml: '0.25.1' },
          files: [
            { role: 'llama', sha256: digest, machine: 'x64', glibcFloor: '2.34' },
            {},
            {},
            { role: 'cpu', sha256: digest },
          ],
          layouts: 'table of v0.5.0',
          glibc: { needed: '2.34' },
          knownAnswerError: expect.closeTo(0, 5),
        },
        { backend: 'recording', status: 'ok', references: [{ numerics: 'avx512' }, { numerics: 'avx2' }] },
      ],
    });
  });

  test('--verbose: files with digests', async () => {
    const { stdout } = await bittern(['preflight', '--backend', 'llama', '--verbose'], { env: await environment() });
    expect(stdout).toMatch(
      / {2}llama: .*libllama\.v0\.5\.0\.so\n {4}SHA-256 [\da-f]{64}\n {4}linux-x64, needs glibc 2\.34 and libstdc\+\+ 3\.4\.29\n/,
    );
    expect(stdout).toContain('  struct layouts: table of v0.5.0\n');
  });

  test('paths cannot write to the terminal', async () => {
    const env = { ...(await environment()), BITNET_CPP_DIR: '/x\u001b[2J\ny' };
    const { stdout } = await bittern(['preflight', '--backend', 'bitnet'], { env });
    expect(stdout).toContain(String.raw`/x\u{1b}[2J\u{a}y`);
    expect(stdout).not.toContain('\u001b');
  });

  test('interrupted, it ends with 130 and without a result', async () => {
    const controller = new AbortController();
    const { code, stdout } = await bittern(['preflight', '--backend', 'llama'], {
      env: await environment(),
      isTTY: true,
      signal: controller.signal,
      onProgress: (text) => {
        if (text.includes('running it')) controller.abort();
      },
    });
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
  });

  test('a recording of another model, damaged or gone', async () => {
    const io = { signal: new AbortController().signal } as Parameters<typeof preflightRecording>[0];
    const other = await changedModel((bytes) => void (bytes[bytes.length - 1]! ^= 1));
    expect(await preflightRecording(io, undefined, other)).toMatchObject({
      status: 'broken',
      problem: { code: 'MODEL_DIFFERS' },
    });
    const damaged = await changedRecording(({ values }) => {
      values[values.length - 1]! ^= 1;
      return { values };
    });
    expect(await preflightRecording(io, damaged, MODEL)).toMatchObject({
      status: 'broken',
      problem: { code: expect.stringMatching(/^CROSSVAL_/) },
    });
    expect(await preflightRecording(io, '/no/such', MODEL)).toMatchObject({
      status: 'missing',
      problem: { code: 'ENOENT' },
    });
  });
});

describe('setup-cpp-auto', () => {
  test('eval in the real sh, with a hostile folder', async () => {
    const env = await environment();
    const folder = join(env.HOME, 'it\'s "a" $(touch pwned) `touch pwned`\\ \n-folder 日本');
    await symlink(await npmFolder(), folder);
    const script = `eval "$("$NODE" "$BIN" setup-cpp-auto --emit sh)"; printf '%s\\001' "$LLAMA_CPP_DIR" "$LD_LIBRARY_PATH"; env | grep -c '^LLAMA_CPP_DIR='`;
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', script], {
      cwd: env.HOME,
      env: { ...env, NODE: process.execPath, BIN, LLAMA_CPP_DIR: folder, LD_LIBRARY_PATH: '/old' },
    });
    expect(stdout.split('\u0001')).toEqual([folder, `${await npmFolder()}:/old`, '1\n']);
    expect(stderr).toContain('llama.cpp: ok\n');
    expect(await readdir(env.HOME)).toHaveLength(1);
  });

  test.each([
    ['sh', /^export LLAMA_CPP_DIR='\/.*'\nexport LD_LIBRARY_PATH='\/.*'\n$/],
    ['fish', /^set -gx LLAMA_CPP_DIR '\/.*'\nset -gx LD_LIBRARY_PATH '\/.*'\n$/],
    ['pwsh', /^\$env:LLAMA_CPP_DIR = '\/.*'\n\$env:LD_LIBRARY_PATH = '\/.*'\n$/],
    ['cmd', /^set "LLAMA_CPP_DIR=\/.*"\r\nset "LD_LIBRARY_PATH=\/.*"\r\n$/],
    ['json', /^\{"LLAMA_CPP_DIR":"\/.*","LD_LIBRARY_PATH":"\/.*"\}\n$/],
  ])('--emit %s: only statements on stdout', async (emit, pattern) => {
    const { code, stdout, stderr } = await bittern(['setup-cpp-auto', '--emit', emit], { env: await environment() });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(pattern) });
    expect(stderr).toContain('There is no bitnet.cpp: build one');
  });

  test('nothing on stdout when what is set is wrong, or what was asked for is not there', async () => {
    const env = await environment();
    const wrong = await bittern(['setup-cpp-auto', '--emit', 'sh'], {
      env: { ...env, LLAMA_CPP_DIR: '/no/such/folder' },
    });
    expect(wrong).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('What is set for llama cannot be used'),
    });
    const absent = await bittern(['setup-cpp-auto', '--emit', 'sh', '--backend', 'bitnet'], { env });
    expect(absent).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('bittern: There is no bitnet.cpp'),
    });
  });

  test('a value that the shell cannot have', async () => {
    const env = await environment();
    const folder = join(env.HOME, 'two\nlines');
    await symlink(await npmFolder(), folder);
    const { code, stdout, stderr } = await bittern(['setup-cpp-auto', '--emit', 'cmd', '--backend', 'llama'], {
      env: { ...env, LLAMA_CPP_DIR: folder },
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('cannot be written safely for cmd');
  });
});

describe('fetch-cpp', () => {
  test.each([
    ['no backend', [], "required option '--backend <name>'"],
    ['an unknown backend', ['--backend', 'ggml'], 'Allowed choices are llama, bitnet'],
    ['no build command', ['--backend', 'bitnet', '--repo', 'x', '--ref', 'y'], 'Bittern does not know how to build it'],
    ['a branch', ['--backend', 'bitnet', '--repo', 'x', '--ref', 'main', '--build', 'true'], '"main" is no commit'],
    ['a version of bitnet', ['--backend', 'bitnet', '--version', '1.0.0'], '--version is for llama'],
    ['a folder of llama', ['--backend', 'llama', '--dir', 'x'], 'are for bitnet'],
    ['a version that is a range', ['--backend', 'llama', '--version', '^3.0.0'], 'is no exact version'],
    ['two wishes', ['--backend', 'llama', '--force', '--clean'], 'exclude each other'],
    ['nothing to clean', ['--backend', 'bitnet', '--clean'], '--clean needs --dir or --ref'],
  ])('bad usage: %s', async (_, argv, message) => {
    const env = await environment();
    const { code, stdout, stderr } = await bittern(['fetch-cpp', ...argv], { env });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(await readdir(env.HOME)).toEqual([]);
  });

  test('a build that makes no library is a failure; what was made can be removed, nothing else', async () => {
    const env = await environment();
    const { repo, commit: ref } = await commit({ 'README.md': 'x' });
    const dir = join(env.HOME, 'b');
    const argv = ['fetch-cpp', '--backend', 'bitnet', '--repo', repo, '--ref', ref, '--dir', dir];
    const { code, stdout, stderr } = await bittern([...argv, '--build', 'echo building; true'], { env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('building\n');
    expect(stderr).toMatch(/bittern: bitnet\.cpp [\da-f]{12} in .* has no libllama: looked in build/);
    expect(JSON.parse(await readFile(join(dir, 'bittern-fetch.json'), 'utf8'))).not.toHaveProperty('files');

    const clean = (folder: string): ReturnType<typeof bittern> =>
      bittern(['fetch-cpp', '--backend', 'bitnet', '--clean', '--dir', folder], { env });
    expect(await clean(dir)).toEqual({ code: 0, stdout: `Removed ${dir}\n`, stderr: '' });
    expect(await clean(dir)).toEqual({ code: 0, stdout: `Nothing to remove: ${dir}\n`, stderr: '' });
    await mkdir(join(env.HOME, 'mine'));
    expect(await clean(join(env.HOME, 'mine'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('fetch-cpp did not make it'),
    });
    expect(await readdir(env.HOME)).toEqual(['mine']);
  });

  test('Ctrl-C ends the build with all that it started, and the command with 130', async () => {
    const env = await environment();
    const { repo, commit: ref } = await commit({ 'README.md': 'x' });
    const build = 'sleep 1000 & echo $! > "$HOME/pid"; wait';
    const argv = ['fetch-cpp', '--backend', 'bitnet', '--repo', repo, '--ref', ref, '--build', build];
    const child = spawn(process.execPath, [BIN, ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.resume();
    const closed = once(child, 'close');
    const pid = await vi.waitFor(async () => {
      const text = await readFile(join(env.HOME, 'pid'), 'utf8');
      expect(text).toMatch(/^\d+\n$/);
      return Number(text);
    }, 20_000);
    child.kill('SIGINT');
    expect(await closed).toEqual([130, null]);
    expect(stdout).toBe('');
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), 5000);
  });
});

test('--version before the command is that of bittern', async () => {
  expect(await bittern(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
});
