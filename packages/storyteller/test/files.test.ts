import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { manifestUrl, modelUrl, recordingUrl, tokenizerUrl } from '../src/index.ts';

interface Manifest {
  readonly files: readonly { readonly file: string; readonly sha256: string; readonly bytes: number }[];
}

const manifest = JSON.parse(await readFile(manifestUrl, 'utf8')) as Manifest;

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('the manifest', () => {
  test.each(manifest.files)('describes $file', async ({ file, sha256: digest, bytes }) => {
    const content = await readFile(new URL(file, manifestUrl));
    expect({ bytes: content.length, digest: sha256(content) }).toEqual({ bytes, digest });
  });

  test('describes every file of model and recording', async () => {
    const found = await Promise.all(
      ['model', 'recording'].map(async (folder) =>
        (await readdir(new URL(folder, manifestUrl))).map((file) => `${folder}/${file}`),
      ),
    );
    expect(found.flat().toSorted()).toEqual(manifest.files.map(({ file }) => file).toSorted());
  });
});

test('the recording is of this model', async () => {
  const recording = JSON.parse(await readFile(new URL('recording.json', recordingUrl), 'utf8')) as {
    model: { sha256: string };
  };
  expect(recording.model.sha256).toBe(sha256(await readFile(modelUrl)));
});

test('the tokenizer is JSON', async () => {
  expect(JSON.parse(await readFile(tokenizerUrl, 'utf8'))).toHaveProperty('model.vocab');
});
