import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '@bittern/crossval';

/** `MANIFEST.json`: what a folder of data holds and how to make it again. */
export interface Manifest {
  readonly about: string;
  /** A command line; names in capitals stand for the folders of the source. */
  readonly madeBy: string;
  readonly files: readonly { readonly file: string; readonly sha256: string; readonly bytes: number }[];
}

/** Writes `MANIFEST.json` over files named relative to its folder. */
export async function writeManifest(
  folder: string,
  about: string,
  madeBy: string,
  files: readonly string[],
): Promise<Manifest> {
  const entries = await Promise.all(
    files.map(async (file) => {
      const bytes = await readFile(join(folder, file));
      return { file, sha256: await sha256(bytes), bytes: bytes.length };
    }),
  );
  const manifest: Manifest = { about, madeBy, files: entries };
  await writeFile(join(folder, 'MANIFEST.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}
