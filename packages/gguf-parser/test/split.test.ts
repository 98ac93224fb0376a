import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { joinSources, openGguf, openUrl, shardNames, sourceFromBytes } from '../src/index.ts';
import { openFile } from '../src/source-node.ts';
import * as b from './builder.ts';

const { VALUE } = b;

/** File `number`, from 0, of a model of three, with one tensor of 8 floats. */
function shard(
  number: number,
  changes: { count?: number; tensors?: number; name?: string } = {},
): Uint8Array<ArrayBuffer> {
  return b.file({
    metadata: [
      ...(number === 0 ? [b.entry('general.name', VALUE.string, b.string('split'))] : []),
      b.entry('split.no', VALUE.u16, b.u16(number)),
      b.entry('split.count', VALUE.u16, b.u16(changes.count ?? 3)),
      b.entry('split.tensors.count', VALUE.i32, b.i32(changes.tensors ?? 3)),
    ],
    tensors: [b.tensor({ name: changes.name ?? `t${number}` })],
    data: b.ramp(32 + number).subarray(number),
  });
}

const shards = [shard(0), shard(1), shard(2)];

test('names of all files from that of any', () => {
  const names = ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf'];
  expect(shardNames('m-00001-of-00002.gguf')).toEqual(names);
  expect(shardNames('m-00002-of-00002.gguf')).toEqual(names);
  expect(shardNames('https://x/a-00002-of-00002.gguf?download=true')).toEqual([
    'https://x/a-00001-of-00002.gguf?download=true',
    'https://x/a-00002-of-00002.gguf?download=true',
  ]);
  for (const name of [
    'm.gguf',
    'm-00003-of-00002.gguf',
    'm-00000-of-00002.gguf',
    'm-1-of-2.gguf',
    'm-00001-of-00002.bin',
  ]) {
    expect(shardNames(name)).toBeUndefined();
  }
});

test('several sources are one model', async () => {
  const gguf = await openGguf(shards);
  expect([...gguf.tensors.keys()]).toEqual(['t0', 't1', 't2']);
  expect(gguf.metadata.get('general.name')).toBe('split');
  for (const [index, tensor] of [...gguf.tensors.values()].entries()) {
    const bytes = b.ramp(32 + index).subarray(index);
    expect(await gguf.readTensor(tensor.name)).toEqual(bytes);
    expect(await gguf.source.read(tensor.offsetBytes, tensor.sizeBytes)).toEqual(bytes);
  }
});

test('the first file’s architecture speaks for the types of all', async () => {
  const gguf = await openGguf([
    b.file({
      metadata: [
        b.entry('general.architecture', VALUE.string, b.string('gpt-oss')),
        b.entry('split.no', VALUE.u16, b.u16(0)),
        b.entry('split.count', VALUE.u16, b.u16(2)),
      ],
    }),
    b.file({
      metadata: [b.entry('split.no', VALUE.u16, b.u16(1)), b.entry('split.count', VALUE.u16, b.u16(2))],
      tensors: [b.tensor({ dims: [256, 2], type: 39 })],
      data: b.ramp(500),
    }),
  ]);
  expect(gguf.tensors.get('t')!.type).toBe('MXFP4');
});

test('a joined source reads across the seams', async () => {
  const joined = joinSources([b.ramp(3), b.ramp(0), b.ramp(5)].map((bytes) => sourceFromBytes(bytes)));
  expect(joined.sizeBytes).toBe(8);
  expect(await joined.read(1, 5)).toEqual(b.concat(b.ramp(3).subarray(1), b.ramp(3)));
  expect(await joined.read(8, 0)).toEqual(new Uint8Array(0));
  await expect(joined.read(4, 5)).rejects.toThrow(RangeError);
});

test('the path of any file opens all', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gguf-split-'));
  try {
    const paths = shardNames(join(folder, 'm-00001-of-00003.gguf'))!;
    await Promise.all(paths.map((path, index) => writeFile(path, shards[index]!)));
    await using source = await openFile(paths[1]!);
    const gguf = await openGguf(source);
    expect(gguf.tensors.size).toBe(3);
    expect(await gguf.readTensor('t2')).toEqual(b.ramp(34).subarray(2));
    await rm(paths[2]!);
    await expect(openFile(paths[0]!)).rejects.toMatchObject({ code: 'ENOENT' });
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('what is not one model is refused', () => {
  test.each([
    ['one file is missing', [shards[0]!, shards[1]!], 'GGUF_BAD_SPLIT'],
    ['wrong order', [shards[1]!, shards[0]!, shards[2]!], 'GGUF_BAD_SPLIT'],
    ['another model’s file', [shards[0]!, shard(1, { count: 4 }), shards[2]!], 'GGUF_BAD_SPLIT'],
    ['two files that are no split model', [b.smallFile(), b.smallFile()], 'GGUF_BAD_SPLIT'],
    ['too few tensors', [shard(0, { tensors: 4 }), shards[1]!, shards[2]!], 'GGUF_BAD_SPLIT'],
    ['one name twice', [shards[0]!, shard(1, { name: 't0' }), shards[2]!], 'GGUF_DUPLICATE_TENSOR'],
    ['one file alone', shards[2]!, 'GGUF_BAD_SPLIT'],
  ])('%s', async (_, input, code) => {
    await expect(openGguf(input)).rejects.toMatchObject({ name: 'GgufError', code });
  });

  test('files of two byte orders', async () => {
    const mixed = [shards[0]!, Uint8Array.from(shards[1]!), shards[2]!];
    mixed[1]![4] = 2;
    await expect(openGguf(mixed)).rejects.toThrow(/another version/);
  });

  test('one type number that is two types', async () => {
    const part = (number: number, bytes: number): Uint8Array =>
      b.file({
        metadata: [b.entry('split.no', VALUE.u16, b.u16(number)), b.entry('split.count', VALUE.u16, b.u16(2))],
        tensors: [b.tensor({ name: `t${number}`, dims: [256, 2], type: 39 })],
        data: b.ramp(bytes),
      });
    const [tl2, mxfp4] = [part(0, 128 + 32), part(1, (512 / 32) * 17)];
    await expect(openGguf([tl2, mxfp4])).rejects.toMatchObject({ code: 'GGUF_UNDECIDED_DIALECT' });
  });

  test('more files than the limit, and none at all', async () => {
    await expect(openGguf(shards, { limits: { splitFiles: 2 } })).rejects.toMatchObject({ limit: 'splitFiles' });
    await expect(openGguf([])).rejects.toThrow(TypeError);
  });
});

test('the URL of any file opens the whole model', async () => {
  const fetch = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const bytes = shards[Number(/(\d+)-of-/.exec(String(url))![1]) - 1]!;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('Range')!)!;
    const range = `bytes ${from}-${Math.min(Number(to), bytes.length - 1)}/${bytes.length}`;
    return new Response(bytes.slice(Number(from), Number(to) + 1), {
      status: 206,
      headers: { 'Content-Range': range },
    });
  };
  const gguf = await openGguf(await openUrl('https://example.org/m-00002-of-00003.gguf', { fetch }));
  expect([...gguf.tensors.keys()]).toEqual(['t0', 't1', 't2']);
  expect(await gguf.readTensor('t2')).toEqual(b.ramp(34).subarray(2));
});
