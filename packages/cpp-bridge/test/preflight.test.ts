import { cp, realpath, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { findReference } from '../src/find-reference.ts';
import { preflight, type PreflightReport } from '../src/preflight.ts';
import { findUsable } from '../src/setup/find-usable.ts';
import { CODE, elfLibrary } from './elf-writer.ts';
import { fakeReference, LLAMA_FUNCTIONS, temporaryFolder, writeFiles } from './fake-reference.ts';
import { npmReference } from './npm-reference.ts';

/** An environment with an empty home folder. */
async function emptyEnvironment(): Promise<{ HOME: string }> {
  return { HOME: await temporaryFolder() };
}

/** The folder of the npm package's libraries. */
async function npmFolder(): Promise<string> {
  return join((await npmReference()).files.llama, '..');
}

/** Of a fake bitnet.cpp. */
async function preflightOf(
  options: Omit<Parameters<typeof fakeReference>[0], 'backend'>,
  timeoutMs?: number,
): Promise<PreflightReport> {
  const { folder } = await fakeReference({ backend: 'bitnet', ...options });
  const env = { ...(await emptyEnvironment()), BITNET_CPP_DIR: folder };
  return preflight('bitnet', { env, requested: true, ...(timeoutMs !== undefined && { timeoutMs }) });
}

describe('ok', () => {
  test('llama.cpp from npm gives the known answer', async () => {
    const report = await preflight('llama', { env: await emptyEnvironment(), requested: true });
    expect(report).toMatchObject({ backend: 'llama', status: 'ok', problem: undefined, next: undefined });
    expect(report.run!.version).toMatchObject({ llama: '0.5.0-dev', ggml: '0.25.1' });
    expect(report.run!.knownAnswerError).toBeGreaterThan(0);
    expect(report.run!.knownAnswerError).toBeLessThan(5e-6);
    expect(report.inspection!.files.map(({ role }) => role)).toEqual(['llama', 'ggml', 'ggmlBase', 'cpu']);
  });

  test('LLAMA_CPP_DIR comes first, then the configuration file, then npm', async () => {
    const env = await emptyEnvironment();
    const folder = await npmFolder();
    const origin = async (more: Record<string, string>): Promise<string> =>
      (await findReference('llama', { env: { ...env, ...more } })).origin;
    expect(await origin({})).toBe('npm package @node-llama-cpp/linux-x64 3.22.1');
    const config = join(env.HOME, '.config/bittern/config.json');
    await writeFiles(env.HOME, { '.config/bittern/config.json': JSON.stringify({ LLAMA_CPP_DIR: folder }) });
    expect(await origin({})).toBe(`LLAMA_CPP_DIR of ${config} (${folder})`);
    expect(await origin({ LLAMA_CPP_DIR: folder })).toBe(`LLAMA_CPP_DIR (${folder})`);
    expect(await origin({ LLAMA_CPP_DIR: '' })).toBe(`LLAMA_CPP_DIR of ${config} (${folder})`);
  });
});

describe('skipped and missing', () => {
  test('skipped: nothing is set, and nobody asked', async () => {
    const report = await preflight('bitnet', { env: await emptyEnvironment(), requested: false });
    expect(report).toMatchObject({ status: 'skipped', problem: { message: 'BITNET_CPP_DIR is not set.' } });
    expect(report.next).toBe('bittern fetch-cpp --backend bitnet --repo URL --ref COMMIT --build COMMAND');
  });

  test('missing: nothing is set, but it was asked for', async () => {
    const env = await emptyEnvironment();
    const report = await preflight('bitnet', { env, requested: true });
    expect(report).toMatchObject({ status: 'missing', problem: { code: 'BRIDGE_NOT_FOUND' } });
    await expect(findReference('bitnet', { env })).rejects.toThrow(
      'BITNET_CPP_DIR is not set. Next: bittern fetch-cpp --backend bitnet',
    );
  });

  test('missing: one was fetched, but is not set; the next command sets it', async () => {
    const env = await emptyEnvironment();
    await fakeReference({ backend: 'bitnet' }, join(env.HOME, '.cache/bittern/bitnet/0123'));
    const report = await preflight('bitnet', { env, requested: true });
    expect(report).toMatchObject({ status: 'missing', next: 'eval "$(bittern setup-cpp-auto --emit sh)"' });
  });

  test.each([false, true])('missing: what is set is not there, asked for or not (%s)', async (requested) => {
    const env = { ...(await emptyEnvironment()), LLAMA_CPP_DIR: '/no/such/folder' };
    const report = await preflight('llama', { env, requested });
    expect(report).toMatchObject({ status: 'missing', next: 'unset LLAMA_CPP_DIR' });
    expect(report.problem!.message).toContain(
      'LLAMA_CPP_DIR (/no/such/folder) has no libllama: there is no such folder',
    );
  });

  test.each([
    ['a relative path', 'build/x', 'it must be an absolute path'],
    ['a home folder that no shell has replaced', '~/bitnet.cpp', 'it must be an absolute path'],
  ])('missing: %s', async (_, folder, message) => {
    const env = { ...(await emptyEnvironment()), BITNET_CPP_DIR: folder };
    const report = await preflight('bitnet', { env, requested: false });
    expect(report).toMatchObject({ status: 'missing', problem: { code: 'BRIDGE_BAD_CONFIG' } });
    expect(report.problem!.message).toContain(message);
  });

  test.each([
    ['no JSON', '{', 'JSON'],
    ['a list', '[]', 'no JSON object'],
    ['an unknown name', '{"BITNET_DIR": "/x"}', '"BITNET_DIR" is not known. Known: LLAMA_CPP_DIR, BITNET_CPP_DIR'],
    ['a number', '{"BITNET_CPP_DIR": 1}', 'must be an absolute path'],
    ['too much', `{"BITNET_CPP_DIR": "/${'x'.repeat(70_000)}"}`, 'more than 65536 bytes'],
  ])('missing: the configuration file has %s', async (_, text, message) => {
    const env = await emptyEnvironment();
    await writeFiles(env.HOME, { '.config/bittern/config.json': text });
    const report = await preflight('bitnet', { env, requested: false });
    expect(report).toMatchObject({ status: 'missing', problem: { code: 'BRIDGE_BAD_CONFIG' } });
    expect(report.problem!.message).toContain(message);
  });
});

describe('incompatible', () => {
  test('a library for another machine is not loaded', async () => {
    const report = await preflightOf({ llama: { machine: 183, functions: LLAMA_FUNCTIONS.old, init: CODE.crash } });
    expect(report).toMatchObject({ status: 'incompatible', problem: { code: 'BRIDGE_BAD_LIBRARY' }, run: undefined });
  });

  test('a library that the loader refuses', async () => {
    const report = await preflightOf({ llama: { functions: LLAMA_FUNCTIONS.old, needed: ['libnot-there.so.9'] } });
    expect(report).toMatchObject({ status: 'incompatible', problem: { code: 'BRIDGE_BAD_LIBRARY' } });
    expect(report.problem!.message).toContain('libnot-there.so.9');
  });

  test('a library whose structs are not those of its headers', async () => {
    // Its functions do nothing: they fill no struct.
    const report = await preflightOf({});
    expect(report).toMatchObject({ status: 'incompatible', problem: { code: 'BRIDGE_ABI_MISMATCH' } });
  });
});

describe('broken', () => {
  test('a library that is cut off', async () => {
    const folder = await temporaryFolder();
    await cp(await npmFolder(), folder, { recursive: true });
    await truncate(join(folder, 'libggml-base.so'), 900_000);
    const report = await preflight('llama', {
      env: { ...(await emptyEnvironment()), LLAMA_CPP_DIR: folder },
      requested: true,
    });
    expect(report).toMatchObject({ status: 'broken', problem: { code: 'BRIDGE_DAMAGED_LIBRARY' } });
    expect(report.problem!.message).toMatch(
      /libggml-base\.so is damaged: it has 900000 bytes, but refers to byte \d+\.$/,
    );
  });

  test('a library that is not as it was fetched', async () => {
    const folder = await realpath(await temporaryFolder());
    await cp(await npmFolder(), folder, { recursive: true });
    const source = { kind: 'npm', package: 'x', version: '1.0.0', integrity: 'sha512-x' };
    const record = { version: 1, backend: 'llama', source, files: { 'libggml-base.so': '0'.repeat(64) } };
    await writeFiles(folder, { 'bittern-fetch.json': JSON.stringify(record) });
    const report = await preflight('llama', {
      env: { ...(await emptyEnvironment()), LLAMA_CPP_DIR: folder },
      requested: true,
    });
    expect(report).toMatchObject({ status: 'broken', problem: { code: 'BRIDGE_BAD_RECORD' } });
    expect(report.problem!.message).toMatch(/libggml-base\.so has SHA-256 [\da-f]{64}, but was fetched with 0{64}/);
  });

  test('a library that exits as it is loaded', async () => {
    const report = await preflightOf({ llama: { functions: LLAMA_FUNCTIONS.old, init: CODE.exit } });
    expect(report).toMatchObject({ status: 'broken', problem: { code: 'BRIDGE_EXITED' } });
  });

  test('a library that crashes as it is loaded', async () => {
    const report = await preflightOf({ llama: { functions: LLAMA_FUNCTIONS.old, init: CODE.crash } });
    expect(report).toMatchObject({ status: 'broken', problem: { code: 'BRIDGE_ABORTED' } });
    expect(report.problem!.message).toContain('SIGILL');
  });

  test('a library that never answers', async () => {
    const report = await preflightOf({ llama: { functions: LLAMA_FUNCTIONS.old, init: CODE.hang } }, 1500);
    expect(report).toMatchObject({ status: 'broken', problem: { code: 'BRIDGE_TIMED_OUT' } });
  });

  test('a library that exits when it is called', async () => {
    const report = await preflightOf({ llama: { functions: LLAMA_FUNCTIONS.old, code: CODE.exit } });
    expect(report).toMatchObject({ status: 'broken', problem: { code: 'BRIDGE_EXITED' } });
  });
});

test('libraries of another reference in the path of the loader are not taken', async () => {
  const [own, other] = [{ soname: 'libggml-cpu.so' }, { soname: 'libggml-cpu.so', init: CODE.exit }];
  const { folder } = await fakeReference({
    backend: 'bitnet',
    llama: { functions: LLAMA_FUNCTIONS.old, needed: ['libggml-cpu.so'] },
  });
  await writeFiles(folder, {
    'build/3rdparty/llama.cpp/src/libggml-cpu.so': elfLibrary(own),
    'other/libggml-cpu.so': elfLibrary(other),
  });
  const env = { ...(await emptyEnvironment()), BITNET_CPP_DIR: folder };
  vi.stubEnv('LD_LIBRARY_PATH', join(folder, 'other'));
  onTestFinished(() => void vi.unstubAllEnvs());
  // It gets as far as the functions, which do nothing; the other would have ended it before.
  expect(await preflight('bitnet', { env, requested: true })).toMatchObject({
    problem: { code: 'BRIDGE_ABI_MISMATCH' },
  });
});

test('an abort ends the child that hangs, and the preflight', async () => {
  const { folder } = await fakeReference({
    backend: 'bitnet',
    llama: { functions: LLAMA_FUNCTIONS.old, init: CODE.hang },
  });
  const env = { ...(await emptyEnvironment()), BITNET_CPP_DIR: folder };
  const controller = new AbortController();
  const reason = new Error('enough');
  const onProgress = (what: string): void => {
    if (what === 'bitnet: running it') setTimeout(() => controller.abort(reason), 300);
  };
  const { signal } = controller;
  await expect(preflight('bitnet', { env, requested: true, signal, onProgress })).rejects.toBe(reason);
});

describe('what setup-cpp-auto takes', () => {
  test('nothing else in place of what is set and wrong', async () => {
    const env = { ...(await emptyEnvironment()), LLAMA_CPP_DIR: '/no/such/folder' };
    const search = await findUsable('llama', { env });
    expect(search).toMatchObject({ usable: undefined, isMisconfigured: true, rejected: [{ status: 'missing' }] });
  });

  test('what is found is run, and passed over if it is wrong', async () => {
    const env = await emptyEnvironment();
    await fakeReference({ backend: 'bitnet' }, join(env.HOME, 'src/bitnet.cpp'));
    const search = await findUsable('bitnet', { env });
    expect(search).toMatchObject({ usable: undefined, isMisconfigured: false });
    expect(search.rejected).toMatchObject([
      { status: 'incompatible', inspection: { place: { kind: 'folder', folder: join(env.HOME, 'src/bitnet.cpp') } } },
    ]);
  });

  test('the npm package', async () => {
    const search = await findUsable('llama', { env: await emptyEnvironment() });
    expect(search).toMatchObject({ usable: { status: 'ok', inspection: { place: { kind: 'npm' } } }, rejected: [] });
  });
});
