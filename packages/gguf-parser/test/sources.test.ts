import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { GgufSource } from '../src/index.ts';
import { openGguf, sourceFromBlob } from '../src/index.ts';
import { openFile } from '../src/source-node.ts';
import * as b from './builder.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gguf-sources-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

test('a Blob and a File', async () => {
  for (const blob of [new Blob([b.smallFile()]), new File([b.smallFile()], 'small.gguf')]) {
    const gguf = await openGguf(blob);
    expect(await gguf.readTensor('weights')).toEqual(b.ramp(128).subarray(32));
  }
  const source = sourceFromBlob(new File([b.smallFile()], 'small.gguf'));
  expect(source.name).toBe('small.gguf');
  await expect(source.read(source.sizeBytes, 1)).rejects.toThrow(RangeError);
  await expect(source.read(0, 1, AbortSignal.abort('stop'))).rejects.toBe('stop');
});

test('a FileHandle is read, and stays open', async () => {
  const path = join(folder, 'handle.gguf');
  await writeFile(path, b.smallFile());
  const handle = await open(path);
  const source = await openFile(handle);
  expect((await openGguf(source)).tensors.size).toBe(2);
  await source.close();
  await expect(source.read(0, 1)).rejects.toThrow(/is closed/);
  expect((await handle.stat()).size).toBe(b.smallFile().length);
  await handle.close();
});

/** 5 GiB and a bit of I8, then 16 bytes of F32. */
const HUGE = 5 * 2 ** 30 + 32;
const hugeHeader = b.file({
  tensors: [b.tensor({ name: 'huge', dims: [HUGE], type: 24 }), b.tensor({ name: 'last', dims: [4], offset: HUGE })],
  data: new Uint8Array(0),
});
const hugeBytes = hugeHeader.length + HUGE + 16;

describe('a file above 4 GiB', () => {
  test('from a source that makes up its bytes', async () => {
    const source: GgufSource = {
      name: 'sparse',
      sizeBytes: hugeBytes,
      async read(offsetBytes, lengthBytes) {
        return Uint8Array.from({ length: lengthBytes }, (_, index) => hugeHeader[offsetBytes + index] ?? lengthBytes);
      },
    };
    const gguf = await openGguf(source);
    expect(gguf.tensors.get('last')!.offsetBytes).toBe(hugeHeader.length + HUGE);
    expect(await gguf.readTensor('last')).toEqual(new Uint8Array(16).fill(16));
    await expect(openGguf({ ...source, sizeBytes: hugeBytes - 1 })).rejects.toMatchObject({
      code: 'GGUF_TENSOR_BEYOND_END',
    });
  });

  test('from disk, with a hole in it', async () => {
    const path = join(folder, 'huge.gguf');
    const handle = await open(path, 'w');
    await handle.write(hugeHeader, 0, hugeHeader.length, 0);
    await handle.write(b.ramp(16), 0, 16, hugeHeader.length + HUGE);
    await handle.close();
    await using source = await openFile(path);
    const gguf = await openGguf(source);
    expect(await gguf.readTensor('last')).toEqual(b.ramp(16));
    const chunks = gguf.streamTensor('huge', { chunkBytes: 1_000 });
    expect((await chunks.next()).value).toEqual(new Uint8Array(1_000));
    await chunks.return();
    await rm(path);
  });
});
