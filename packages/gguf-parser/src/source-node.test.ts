import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ramp, smallFile } from '../test/builder.ts';
import { openGguf } from './open.ts';
import { openFile } from './source-node.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gguf-parser-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function write(name: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, smallFile());
  return path;
}

test('a file reads as its bytes do', async () => {
  const path = await write('small.gguf');
  await using source = await openFile(path);
  expect(source.name).toBe(path);
  const [fromFile, fromBytes] = [await openGguf(source), await openGguf(smallFile())];
  expect([...fromFile.tensors]).toEqual([...fromBytes.tensors]);
  for (const key of fromBytes.metadata.keys()) {
    expect(fromFile.metadata.get(key)).toEqual(fromBytes.metadata.get(key));
  }
  for (const name of fromBytes.tensors.keys()) {
    expect(await fromFile.readTensor(name)).toEqual(await fromBytes.readTensor(name));
  }
  expect(await fromFile.readTensor('norm')).toEqual(ramp(16));
});

test('close twice, then reads reject', async () => {
  const source = await openFile(await write('closed.gguf'));
  const gguf = await openGguf(source);
  await source.close();
  await source.close();
  await expect(gguf.readTensor('norm')).rejects.toThrow(/is closed/);
});

test('a file that shrinks after it was opened is found out', async () => {
  const path = await write('shrinking.gguf');
  await using source = await openFile(path);
  const gguf = await openGguf(source);
  await truncate(path, gguf.dataOffsetBytes + 4);
  await expect(gguf.readTensor('norm')).rejects.toMatchObject({ code: 'GGUF_SHORT_READ' });
});

test('an aborted signal rejects with its reason', async () => {
  await using source = await openFile(await write('aborted.gguf'));
  await expect(source.read(0, 4, AbortSignal.abort('stop'))).rejects.toBe('stop');
});

test('reads outside the file, a folder, a missing file', async () => {
  await using source = await openFile(await write('range.gguf'));
  await expect(source.read(source.sizeBytes, 1)).rejects.toThrow(RangeError);
  await expect(openFile(folder)).rejects.toMatchObject({ code: 'GGUF_NOT_A_FILE' });
  await expect(openFile(join(folder, 'none.gguf'))).rejects.toMatchObject({ code: 'ENOENT' });
});
