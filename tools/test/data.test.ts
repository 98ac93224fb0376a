import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openRecording, sha256 } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import type { Manifest } from '../src/manifest.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** What a clone of the repository may cost in models, recordings and vectors. */
const MAX_DATA_BYTES = 25_000_000;
const DATA_FOLDERS = new Set(['model', 'recording', 'fixtures', 'vectors']);
const DATA_FILE = /\.(?:gguf|safetensors|json|jsonl|npy|bin)$/;

/** Data files in or below a folder that is named as one of data. */
async function listData(folder: string, inData = false): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== 'node_modules' && entry.name !== 'dist') {
      found.push(...(await listData(path, inData || DATA_FOLDERS.has(entry.name))));
    }
    if (entry.isFile() && inData && DATA_FILE.test(entry.name)) found.push(path);
  }
  return found;
}

test('all data together stay small', async () => {
  const files = (await Promise.all(['packages', 'apps', 'tools'].map((folder) => listData(join(ROOT, folder))))).flat();
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  expect(files.filter((file) => file.endsWith('.gguf')).length).toBeGreaterThanOrEqual(3);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(MAX_DATA_BYTES);
});

describe.each(['tools/fixtures/tiny-random', 'tools/fixtures/tiny-random-bitnet', 'packages/storyteller'])(
  '%s',
  (name) => {
    const folder = join(ROOT, name);

    test('has the files of its manifest', async () => {
      const manifest = JSON.parse(await readFile(join(folder, 'MANIFEST.json'), 'utf8')) as Manifest;
      expect(manifest.files.length).toBeGreaterThan(0);
      for (const { file, sha256: digest, bytes } of manifest.files) {
        const content = await readFile(join(folder, file));
        expect({ file, bytes: content.length, digest: await sha256(content) }).toEqual({ file, bytes, digest });
      }
    });

    test('has a recording that opens, of both builds in three modes', async () => {
      const recording = await openRecording((file) => readFile(join(folder, 'recording', file)));
      expect(recording.references.map(({ id }) => id)).toEqual(['avx512', 'avx2']);
      for (const { id } of recording.references) {
        const cases = recording.cases(id);
        expect(new Set(cases.map(({ mode }) => mode))).toEqual(new Set(['batch-all', 'batch-last', 'sequential']));
        expect(cases.some(({ trace }) => trace)).toBe(true);
      }
    });
  },
);
