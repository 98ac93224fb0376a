import { createHash } from 'node:crypto';
import { readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chooseCpuVariant } from '../src/cpu-variant.ts';
import { LLAMA_0_5_0_LAYOUTS } from '../src/ffi/layouts-llama-0.5.0.ts';
import { inspect, referenceIn } from '../src/inspect.ts';
import { compilerWarning } from '../src/library.ts';
import { npmReference } from './npm-reference.ts';
import { elfLibrary } from './elf-writer.ts';
import { fakeReference, GGML_FUNCTIONS, LLAMA_FUNCTIONS, temporaryFolder, writeFiles } from './fake-reference.ts';
import { OLD_LAYOUTS } from './header-writer.ts';

describe('a warning about the compiler', () => {
  const GCC = 'GCC: (Debian 12.2.0-14) 12.2.0';
  // ggml computes, and counts.
  const warningOf = async (backend: 'bitnet' | 'llama', compilers: readonly string[]): Promise<string | undefined> => {
    const place = await fakeReference({ backend, ggml: { compilers }, llama: { compilers: ['GCC: other'] } });
    const library = await referenceIn(place);
    expect(library.compilers).toEqual(compilers);
    return compilerWarning(library);
  };

  test('of a bitnet.cpp that GCC compiled', async () => {
    expect(await warningOf('bitnet', [GCC])).toContain(`was compiled by ${GCC}. `);
  });

  test('not where Clang did, nobody says, or it is a llama.cpp', async () => {
    expect(await warningOf('bitnet', [GCC, 'Debian clang version 19.1.7'])).toBeUndefined();
    expect(await warningOf('bitnet', [])).toBeUndefined();
    expect(await warningOf('llama', [GCC])).toBeUndefined();
  });
});

describe('what is found', () => {
  test('a build of bitnet.cpp: old API, layouts from its headers', async () => {
    const place = await fakeReference({ backend: 'bitnet' });
    const { library, error, files, layoutSource, ...rest } = await inspect(place);
    expect(error).toBeUndefined();
    expect(rest).toMatchObject({
      generation: 'old',
      release: undefined,
      cpuVariants: [],
      glibc: { needed: undefined },
    });
    const llama = join(place.folder, 'build/3rdparty/llama.cpp/src/libllama.so');
    const ggml = join(place.folder, 'build/3rdparty/llama.cpp/ggml/src/libggml.so');
    expect(library).toEqual({
      backend: 'bitnet',
      origin: place.origin,
      generation: 'old',
      files: { llama, ggml },
      compilers: [],
      layouts: OLD_LAYOUTS,
    });
    const digest = createHash('sha256')
      .update(await readFile(llama))
      .digest('hex');
    expect(files[0]).toEqual({ role: 'llama', path: llama, sha256: digest, machine: 'x64', compilers: [] });
    expect(layoutSource).toContain(join(place.folder, '3rdparty/llama.cpp/include'));
  });

  test('a build of llama.cpp: new API, split ggml, one CPU backend of several', async () => {
    const place = await fakeReference({ backend: 'llama' });
    const library = (name: string): string => join('build/bin', name);
    await writeFiles(place.folder, {
      [library('libggml-base.so')]: elfLibrary({ functions: GGML_FUNCTIONS }),
      [library('libggml-cpu-x64.so')]: elfLibrary(),
      [library('libggml-cpu-haswell.so')]: elfLibrary(),
      [library('libllama.vulkan.so')]: elfLibrary(),
    });
    const found = await referenceIn(place, { cpuVariant: 'x64' });
    expect(found).toMatchObject({ generation: 'new', cpuVariant: 'x64', layouts: LLAMA_0_5_0_LAYOUTS });
    expect(found.files).toEqual({
      llama: join(place.folder, 'build/bin/libllama.so'),
      ggml: join(place.folder, 'build/bin/libggml.so'),
      ggmlBase: join(place.folder, 'build/bin/libggml-base.so'),
      cpu: join(place.folder, 'build/bin/libggml-cpu-x64.so'),
    });
    await expect(referenceIn(place, { cpuVariant: 'zen5' })).rejects.toThrow(
      'no CPU backend "zen5". It has: haswell, x64.',
    );
  });

  test('the npm package: the same as the bridge takes by itself', async () => {
    const library = await npmReference();
    const folder = join(library.files.llama, '..');
    const found = await inspect({ backend: 'llama', kind: 'npm', folder, origin: library.origin });
    expect(found).toMatchObject({ release: 'v0.5.0', layoutSource: 'table of v0.5.0', error: undefined });
    expect(found.library!.files.llama).toBe(library.files.llama);
    expect(found.library!.layouts).toEqual(library.layouts);
  });

  test('links to one file are one library', async () => {
    const place = await fakeReference({ backend: 'llama' });
    const folder = join(place.folder, 'build/bin');
    await rename(join(folder, 'libllama.so'), join(folder, 'libllama.so.0.1'));
    await symlink('libllama.so.0.1', join(folder, 'libllama.so.0'));
    await symlink('libllama.so.0', join(folder, 'libllama.so'));
    expect((await referenceIn(place)).files.llama).toBe(join(folder, 'libllama.so.0.1'));
  });
});

test('the CPU backend is the pinned one where the processor can run it', async () => {
  const haswell = new Set(['avx2', 'fma', 'f16c', 'bmi2', 'sse4_2']);
  expect(await chooseCpuVariant(['x64', 'sse42', 'haswell', 'zen4'], haswell)).toBe('haswell');
  expect(await chooseCpuVariant(['x64', 'sse42', 'haswell', 'zen4'], new Set(['sse4_2']))).toBe('sse42');
  expect(await chooseCpuVariant(['x64', 'sse42'], new Set())).toBe('x64');
  await expect(chooseCpuVariant(['zen4', 'zen5'], haswell)).rejects.toThrow('Of the CPU backends zen4, zen5 none');
});

describe('what does not fit is refused before it is loaded, with the reason', () => {
  async function errorOf(...arguments_: Parameters<typeof fakeReference>): Promise<string> {
    const { error, library } = await inspect(await fakeReference(...arguments_));
    expect(library).toBeUndefined();
    return `${error!.code} ${error!.message}`;
  }

  test('another machine', async () => {
    const message = await errorOf({ backend: 'bitnet', llama: { machine: 183, functions: LLAMA_FUNCTIONS.old } });
    expect(message).toMatch(
      /^BRIDGE_BAD_LIBRARY .*libllama\.so is a library for linux-arm64, but this is linux-x64\.$/,
    );
  });

  test('libggml for another machine', async () => {
    expect(await errorOf({ backend: 'bitnet', ggml: { machine: 40 } })).toMatch(
      /libggml\.so is a library for linux-arm,/,
    );
  });

  test('a library of another system', async () => {
    const place = await fakeReference({ backend: 'bitnet' });
    const path = join(place.folder, 'build/3rdparty/llama.cpp/src/libllama.so');
    await writeFile(path, Buffer.from([0xcf, 0xfa, 0xed, 0xfe, 0, 0, 0, 0]));
    expect((await inspect(place)).error).toMatchObject({ code: 'BRIDGE_BAD_LIBRARY' });
  });

  test('a newer C library', async () => {
    const message = await errorOf({
      backend: 'llama',
      llama: { functions: LLAMA_FUNCTIONS.new, versions: ['GLIBC_2.999'] },
    });
    expect(message).toMatch(/^BRIDGE_BAD_LIBRARY .* needs glibc 2\.999 or newer; this system has \d/);
  });

  test('no functions of either API', async () => {
    const message = await errorOf({ backend: 'bitnet', llama: { functions: ['llama_decode'] } });
    expect(message).toMatch(
      /^BRIDGE_MISSING_SYMBOL .*for the new API llama_model_load_from_file.*for the old API llama_load_model/,
    );
  });

  test('a function that both have', async () => {
    const message = await errorOf({ backend: 'bitnet', ggml: { functions: ['ggml_nbytes', 'ggml_vec_dot_i2_i8_s'] } });
    expect(message).toMatch(/^BRIDGE_MISSING_SYMBOL .* lacks functions: ggml_get_name, ggml_is_contiguous, /);
  });

  test('a function that it only wants from others', async () => {
    const functions = LLAMA_FUNCTIONS.old.filter((name) => name !== 'llama_decode');
    const message = await errorOf({ backend: 'bitnet', llama: { functions, imports: ['llama_decode'] } });
    expect(message).toMatch(/^BRIDGE_MISSING_SYMBOL .* lacks functions: llama_decode\.$/);
  });

  test('a llama.cpp as bitnet.cpp, and the other way round', async () => {
    expect(await errorOf({ backend: 'bitnet', ggml: { functions: GGML_FUNCTIONS } })).toMatch(
      /^BRIDGE_WRONG_LIBRARY .*no bitnet\.cpp/,
    );
    expect(
      await errorOf({ backend: 'llama', ggml: { functions: [...GGML_FUNCTIONS, 'ggml_vec_dot_i2_i8_s'] } }),
    ).toMatch(/^BRIDGE_WRONG_LIBRARY .* is a bitnet\.cpp/);
  });

  test('headers of the other API than the library', async () => {
    expect(await errorOf({ backend: 'bitnet', headers: 'new' })).toMatch(
      /^BRIDGE_NO_LAYOUT .*declare the new API, but the library has the old one: they are not of one build\.$/,
    );
  });

  test('no headers, and no release that is known', async () => {
    expect(await errorOf({ backend: 'llama', headers: 'none' })).toMatch(/^BRIDGE_NO_LAYOUT .*has no llama\.h/);
    const place = await fakeReference({ backend: 'llama', headers: 'none' });
    const metadata = JSON.stringify({ buildOptions: { llamaCpp: { release: 'v9.9.9' } } });
    await writeFiles(place.folder, { 'build/bin/_nlcBuildMetadata.json': metadata });
    expect((await inspect(place)).error!.message).toContain('no table for release v9.9.9 is known');
  });

  test('headers that are no C', async () => {
    const place = await fakeReference({ backend: 'bitnet' });
    await writeFiles(place.folder, { '3rdparty/llama.cpp/include/llama.h': 'struct {' });
    expect((await inspect(place)).error).toMatchObject({ code: 'BRIDGE_BAD_HEADER' });
  });

  test('a library that is cut off, anywhere', async () => {
    const place = await fakeReference({ backend: 'bitnet' });
    const path = join(place.folder, 'build/3rdparty/llama.cpp/src/libllama.so');
    const { length } = await readFile(path);
    for (let cut = 1; cut < length; cut += 97) {
      await truncate(path, length - cut);
      expect((await inspect(place)).error!.code).toMatch(/^BRIDGE_(BAD|DAMAGED)_LIBRARY$/);
    }
  });

  test('no library, no libggml, two libraries, no folder', async () => {
    const folder = await temporaryFolder();
    const place = { backend: 'bitnet', kind: 'environment', folder, origin: 'x' } as const;
    expect((await inspect(place)).error).toMatchObject({
      code: 'BRIDGE_NOT_FOUND',
      message: expect.stringContaining('x has no libllama: looked in build/3rdparty/llama.cpp/src, '),
    });
    expect((await inspect({ ...place, folder: join(folder, 'no') })).error!.message).toContain(
      'there is no such folder',
    );

    await fakeReference({ backend: 'bitnet' }, folder);
    await writeFiles(folder, { 'build/3rdparty/llama.cpp/src/libllama.so.1': elfLibrary() });
    expect((await inspect(place)).error!.message).toContain('has several libllama');

    await rm(join(folder, 'build/3rdparty/llama.cpp/src/libllama.so.1'));
    await rm(join(folder, 'build/3rdparty/llama.cpp/ggml'), { recursive: true });
    expect((await inspect(place)).error!.message).toContain('but no libggml in');
  });
});
