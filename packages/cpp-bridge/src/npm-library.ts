import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LLAMA_0_5_0_LAYOUTS } from './ffi/layouts-llama-0.5.0.ts';
import { BridgeError } from './errors.ts';
import type { ReferenceLibrary } from './library.ts';

/** The build of llama.cpp whose struct layouts are baked in; package.json pins it. */
export const NPM_PACKAGE = '@node-llama-cpp/linux-x64';
export const NPM_VERSION = '3.22.1';
const LLAMA_RELEASE = 'v0.5.0';
const BINARIES = join('bins', 'linux-x64');

/**
 * AVX2 with FMA, which every x86-64 machine of the last ten years has: the same bits on all of them. Others differ in
 * the last bits among each other.
 */
export const DEFAULT_CPU_VARIANT = 'haswell';

/**
 * llama.cpp as the npm package has it.
 *
 * @param options.cpuVariant - which of the package's CPU backends; default `haswell`
 * @param options.folder - of the package; default: where this package's own dependency is installed
 * @throws BridgeError BRIDGE_NOT_FOUND, BRIDGE_NO_LAYOUT
 */
export async function npmLibrary(
  options: { readonly cpuVariant?: string; readonly folder?: string } = {},
): Promise<ReferenceLibrary> {
  const { cpuVariant = DEFAULT_CPU_VARIANT, folder = installedFolder() } = options;
  const binaries = join(folder, BINARIES);
  const version = await versionOf(folder);
  const release = await releaseOf(binaries);
  if (version !== NPM_VERSION || release !== LLAMA_RELEASE) {
    throw new BridgeError(
      'BRIDGE_NO_LAYOUT',
      `${folder} is ${NPM_PACKAGE} ${version} with llama.cpp ${release}; the struct layouts are known for ${NPM_VERSION} with ${LLAMA_RELEASE}. Install that version.`,
    );
  }
  const files = await readdir(binaries);
  // The names carry the release.
  const one = (pattern: RegExp): string => {
    const found = files.filter((file) => pattern.test(file));
    if (found.length === 1) return join(binaries, found[0]!);
    const variants = files.flatMap((file) => /^libggml-cpu-(\w+)\.so$/.exec(file)?.[1] ?? []);
    throw new BridgeError(
      'BRIDGE_NOT_FOUND',
      `${binaries} has ${found.length} files ${pattern}. Its CPU variants are ${variants.join(', ')}.`,
    );
  };
  return {
    backend: 'llama',
    origin: `llama.cpp ${release} (npm ${NPM_PACKAGE} ${version})`,
    generation: 'new',
    files: {
      llama: one(/^libllama\.v[\d.]+\.so$/),
      ggml: one(/^libggml\.v[\d.]+\.so$/),
      ggmlBase: one(/^libggml-base\.so$/),
      cpu: one(new RegExp(`^libggml-cpu-${cpuVariant.replace(/\W/g, '')}\\.so$`)),
    },
    cpuVariant,
    layouts: LLAMA_0_5_0_LAYOUTS,
  };
}

function installedFolder(): string {
  try {
    // Its entry is dist/index.js; package.json is not among its exports.
    return dirname(dirname(createRequire(import.meta.url).resolve(NPM_PACKAGE)));
  } catch (cause) {
    throw new BridgeError(
      'BRIDGE_NOT_FOUND',
      `${NPM_PACKAGE} is not installed: it exists for Linux on x86-64 with glibc only, and is an optional dependency. Try: npm install ${NPM_PACKAGE}@${NPM_VERSION}`,
      { cause },
    );
  }
}

async function versionOf(folder: string): Promise<unknown> {
  return ((await readJson(join(folder, 'package.json'))) as { version?: unknown }).version;
}

async function releaseOf(binaries: string): Promise<unknown> {
  const { buildOptions } = (await readJson(join(binaries, '_nlcBuildMetadata.json'))) as {
    buildOptions?: { llamaCpp?: { release?: unknown } };
  };
  return buildOptions?.llamaCpp?.release;
}

async function readJson(path: string): Promise<unknown> {
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch (cause) {
    throw new BridgeError('BRIDGE_NOT_FOUND', `${path} is missing or unreadable. Install ${NPM_PACKAGE} again.`, {
      cause,
    });
  }
}
