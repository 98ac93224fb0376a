import { expect, test } from 'vitest';
import { GgufEditor, openGguf, openUrl, tensorStatistics } from '../../src/index.ts';
import * as b from '../builder.ts';

test('this is a browser', () => {
  expect(navigator.userAgent).toContain('Chrome');
  expect(globalThis).not.toHaveProperty('process.versions.node');
});

test('a File that a user chose: header, data, statistics, text', async () => {
  const gguf = await openGguf(new File([b.smallFile()], 'small.gguf'));
  expect(gguf.source.name).toBe('small.gguf');
  expect(gguf.metadata.get('tokens')).toEqual(['a', '\uFEFF', '▁é']);
  expect(await gguf.readTensor('norm')).toEqual(b.ramp(16));
  expect(await gguf.dequantize('weights')).toHaveLength(256);
  expect(await tensorStatistics(gguf, 'norm')).toMatchObject({ count: 4 });
});

test('every proper prefix of a Blob is refused', async () => {
  const blob = new Blob([b.smallFile()]);
  for (let length = 0; length < blob.size; length += 7) {
    await expect(openGguf(blob.slice(0, length))).rejects.toMatchObject({ name: 'GgufError' });
  }
});

test('an edited file becomes a Blob and opens again', async () => {
  const editor = new GgufEditor(await openGguf(new Blob([b.smallFile()]))).set('flag', 'bool', false);
  const chunks = await b.collect(editor.chunks());
  const edited = await openGguf(new Blob(chunks.map((chunk) => Uint8Array.from(chunk))));
  expect(edited.metadata.get('flag')).toBe(false);
  expect(await edited.readTensor('norm')).toEqual(b.ramp(16));
});

test('a URL whose server does not honour ranges is refused', async () => {
  const url = URL.createObjectURL(new Blob([b.smallFile()]));
  const withoutRanges: typeof fetch = async () => new Response(b.smallFile());
  await expect(openUrl(url, { fetch: withoutRanges })).rejects.toMatchObject({ code: 'GGUF_NO_RANGES' });
  URL.revokeObjectURL(url);
});
