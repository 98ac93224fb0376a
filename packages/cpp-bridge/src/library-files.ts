import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { BridgeError } from './errors.ts';
import type { Place } from './places.ts';

/** The files of a reference, symbolic links resolved. */
export interface LibraryFiles {
  /** Folder of libllama. */
  readonly folder: string;
  readonly llama: string;
  readonly ggml: string;
  /** Where libggml is split. */
  readonly ggmlBase: string | undefined;
  /** CPU backends that are libraries of their own, by the processor that they are for: `haswell`. */
  readonly cpuVariants: ReadonlyMap<string, string>;
}

/** Where builds and installations leave libllama, the most specific first. */
const LIBRARY_FOLDERS: Readonly<Record<Place['backend'], readonly string[]>> = {
  bitnet: ['build/3rdparty/llama.cpp/src', 'build/src', 'build/bin', 'build/lib', 'lib', 'bin', '.'],
  llama: ['.', 'build/bin', 'build/src', 'build/lib', 'lib', 'lib64', 'lib/x86_64-linux-gnu', 'bin'],
};
/** Where libggml lies, seen from libllama. */
const GGML_FOLDERS = ['.', '../ggml/src', '../../ggml/src', '../lib', '../bin'];

/** A library's name may carry a version (`libllama.v0.5.0.so`, `libllama.so.0`), but not that of another GPU. */
function pattern(name: string): RegExp {
  return new RegExp(String.raw`^lib${name}(\.v?\d[\d.]*)?\.so(\.\d+)*$`);
}

/**
 * Finds a reference's libraries below a folder.
 *
 * @throws BridgeError BRIDGE_NOT_FOUND; the message lists where it looked
 */
export async function findLibraries({ backend, folder: root, origin }: Place): Promise<LibraryFiles> {
  const candidates = LIBRARY_FOLDERS[backend];
  for (const candidate of candidates) {
    const folder = join(root, candidate);
    const llama = await libraryIn(folder, 'llama');
    if (llama === undefined) continue;
    const around = GGML_FOLDERS.map((each) => join(folder, each));
    const ggml = await firstLibrary(around, 'ggml');
    if (ggml === undefined) {
      throw new BridgeError('BRIDGE_NOT_FOUND', `${origin} has ${llama}, but no libggml in ${around.join(', ')}.`);
    }
    return {
      folder,
      llama,
      ggml,
      ggmlBase: await firstLibrary(around, 'ggml-base'),
      cpuVariants: await cpuVariants(around),
    };
  }
  const others = (await names(root)) === undefined ? 'there is no such folder' : `looked in ${candidates.join(', ')}`;
  throw new BridgeError('BRIDGE_NOT_FOUND', `${origin} has no libllama: ${others}.`);
}

async function firstLibrary(folders: readonly string[], name: string): Promise<string | undefined> {
  for (const folder of folders) {
    const found = await libraryIn(folder, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Links of one file count as one. Of two different ones nobody knows which is meant. */
async function libraryIn(folder: string, name: string): Promise<string | undefined> {
  const matches = (await names(folder))?.filter((file) => pattern(name).test(file)) ?? [];
  const files = new Set<string>();
  for (const match of matches) {
    try {
      files.add(await realpath(join(folder, match)));
    } catch {
      // A link that leads nowhere is no library.
    }
  }
  if (files.size > 1) {
    const list = [...files].toSorted().join(', ');
    throw new BridgeError('BRIDGE_NOT_FOUND', `${folder} has several lib${name}: ${list}. Leave one of them.`);
  }
  return [...files][0];
}

async function cpuVariants(folders: readonly string[]): Promise<ReadonlyMap<string, string>> {
  for (const folder of folders) {
    const variants = new Map<string, string>();
    for (const file of (await names(folder))?.toSorted() ?? []) {
      const variant = /^libggml-cpu-(\w+)\.so$/.exec(file)?.[1];
      if (variant !== undefined) variants.set(variant, await realpath(join(folder, file)));
    }
    if (variants.size > 0) return variants;
  }
  return new Map();
}

async function names(folder: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(folder);
  } catch {
    return undefined;
  }
}
