import { mkdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BenchError } from './errors.ts';
import type { Io } from './io.ts';
import { modelFingerprint } from './model-fingerprint.ts';
import {
  GENERATOR_VERSION,
  SHAPES,
  syntheticModelBytes,
  type ShapeName,
  writeSyntheticModel,
} from './synthetic-model.ts';

export interface ModelFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Of a synthetic model, from when it was written; another file is not read for it. */
  readonly sha256?: string;
  /** See {@link modelFingerprint}. */
  readonly fingerprint: string;
}

/** What is written beside a synthetic model. */
interface Digest {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/**
 * The file that `--shape` means: the synthetic model of a shape, written if it is not in the cache folder yet, or a file
 * of the user's.
 */
export async function modelFile(
  { shape, cacheDir }: { readonly shape: string; readonly cacheDir?: string },
  io: Io,
): Promise<ModelFile> {
  const file = isShapeName(shape)
    ? await cachedModel(shape, cacheDir ?? defaultCacheFolder(), io)
    : { path: shape, sizeBytes: (await stat(shape)).size };
  return { ...file, fingerprint: await modelFingerprint(file.path) };
}

function isShapeName(shape: string): shape is ShapeName {
  return Object.hasOwn(SHAPES, shape);
}

async function cachedModel(shape: ShapeName, folder: string, io: Io): Promise<Omit<ModelFile, 'fingerprint'>> {
  const path = join(folder, `${shape}-v${GENERATOR_VERSION}.gguf`);
  const digestPath = `${path}.json`;
  const digest = await readDigest(digestPath);
  if (digest && (await sizeOf(path)) === digest.sizeBytes) return { path, ...digest };

  await mkdir(folder, { recursive: true });
  await requireSpace(folder, syntheticModelBytes(SHAPES[shape]));
  io.stderr.write(`bittern-bench: writing a synthetic model of shape ${shape} to ${path}\n`);
  const partial = `${path}.${process.pid}`;
  try {
    const written = await writeSyntheticModel(partial, SHAPES[shape], io.signal);
    await rename(partial, path);
    await writeFile(digestPath, `${JSON.stringify(written)}\n`);
    return { path, ...written };
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function requireSpace(folder: string, sizeBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < sizeBytes) {
    throw new BenchError(
      `The synthetic model takes ${megabytes(sizeBytes)} MB, and ${folder} has ${megabytes(free)} MB free. Choose another folder with --cache-dir.`,
    );
  }
}

async function readDigest(path: string): Promise<Digest | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Digest;
  } catch {
    return undefined; // not written yet, or not to its end
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

function defaultCacheFolder(): string {
  const system = {
    darwin: join(homedir(), 'Library', 'Caches'),
    win32: process.env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'),
  }[process.platform as string];
  return join(process.env['XDG_CACHE_HOME'] || system || join(homedir(), '.cache'), 'bittern', 'bench');
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
