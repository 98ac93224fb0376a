import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gguf as openWithHuggingFace } from '@huggingface/gguf';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GgufEntry, GgufTensorData } from '../src/index.ts';
import { openGguf, writeGguf } from '../src/index.ts';
import { openFile } from '../src/source-node.ts';
import * as b from './builder.ts';

/**
 * Against @huggingface/gguf 0.4.6 on valid files, read from disk by both. Left out is what it is known to get wrong:
 * a leading U+FEFF (it drops it), __proto__ keys, and empty names.
 */
let folder: string;
const seed = Math.floor(Math.random() * 2 ** 31);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gguf-differential-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

const name = fc.stringMatching(/^[a-z][a-z0-9_.]{0,20}$/).filter((key) => !(key in Object.prototype));
const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.startsWith('\uFEFF'));

const value = fc.oneof(
  fc.nat(255).map((number): [GgufEntry[1], GgufEntry[2]] => ['u8', number]),
  fc.integer().map((number): [GgufEntry[1], GgufEntry[2]] => ['i32', number]),
  fc.float({ noNaN: true }).map((number): [GgufEntry[1], GgufEntry[2]] => ['f32', number]),
  fc.double({ noNaN: true }).map((number): [GgufEntry[1], GgufEntry[2]] => ['f64', number]),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((number): [GgufEntry[1], GgufEntry[2]] => ['u64', number]),
  fc.boolean().map((flag): [GgufEntry[1], GgufEntry[2]] => ['bool', flag]),
  text.map((string): [GgufEntry[1], GgufEntry[2]] => ['string', string]),
  fc.array(text).map((strings): [GgufEntry[1], GgufEntry[2]] => ['array<string>', strings]),
  fc.array(fc.integer()).map((numbers): [GgufEntry[1], GgufEntry[2]] => ['array<i32>', numbers]),
);

const metadata = fc
  .uniqueArray(fc.tuple(name, value), { selector: ([key]) => key })
  .map((pairs) => pairs.map(([key, [type, content]]): GgufEntry => [key, type, content]));

const tensors = fc
  .uniqueArray(
    fc.tuple(
      name,
      fc.constantFrom('F32', 'F16', 'Q8_0', 'Q4_K', 'TQ2_0'),
      fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
    ),
    { selector: ([key]) => key, maxLength: 5 },
  )
  .map((list) =>
    list.map(([key, type, outer]): Omit<GgufTensorData, 'data'> => ({ name: key, type, shape: [...outer, 256] })),
  );

const BYTES_OF_256 = { F32: 1024, F16: 512, Q8_0: 272, Q4_K: 144, TQ2_0: 66 } as const;

function dataOf({ type, shape }: Omit<GgufTensorData, 'data'>): Uint8Array {
  return b.ramp(shape.slice(0, -1).reduce((a, dim) => a * dim, 1) * BYTES_OF_256[type as keyof typeof BYTES_OF_256]);
}

function plain(content: unknown): unknown {
  if (ArrayBuffer.isView(content)) {
    return Array.from(content as unknown as Iterable<unknown>);
  }
  return typeof content === 'bigint' && Number.isSafeInteger(Number(content)) ? Number(content) : content;
}

test(`random valid files read alike (seed ${seed})`, { timeout: 60_000 }, async () => {
  const path = join(folder, 'random.gguf');
  await fc.assert(
    fc.asyncProperty(metadata, tensors, async (entries, infos) => {
      const list = infos.map((info) => ({ ...info, data: dataOf(info) }));
      await writeFile(
        path,
        writeGguf({ metadata: [['general.architecture', 'string', 'llama'], ...entries], tensors: list }),
      );
      await using source = await openFile(path);
      const ours = await openGguf(source);
      const theirs = await openWithHuggingFace(path, { allowLocalFile: true });
      const content = theirs.metadata as unknown as Record<string, unknown>;
      expect(content).toMatchObject({ version: ours.version, kv_count: BigInt(ours.metadata.size) });
      const keys = [...ours.metadata.keys()];
      expect(keys.map((key) => [key, plain(content[key])])).toEqual(
        keys.map((key) => [key, plain(ours.metadata.get(key))]),
      );
      expect(Number(theirs.tensorDataOffset)).toBe(ours.dataOffsetBytes);
      expect(
        theirs.tensorInfos.map((info) => [info.name, info.dtype, info.shape.map(Number), Number(info.offset)]),
      ).toEqual(
        Array.from(ours.tensors.values(), (tensor) => [
          tensor.name,
          tensor.typeId,
          tensor.ggmlDims,
          tensor.offsetBytes - ours.dataOffsetBytes,
        ]),
      );
    }),
    { seed, numRuns: 100 },
  );
});

test('they still drop a BOM and take a __proto__ key for a prototype; we do not', async () => {
  const path = join(folder, 'divergence.gguf');
  const { VALUE } = b;
  await writeFile(
    path,
    b.file({
      metadata: [
        b.entry('bom', VALUE.string, b.string('\uFEFF')),
        b.entry('__proto__', VALUE.array, b.array(VALUE.u8, [b.u8(1)])),
      ],
    }),
  );
  await using source = await openFile(path);
  const ours = await openGguf(source);
  const theirs = (await openWithHuggingFace(path, { allowLocalFile: true })).metadata as unknown as Record<
    string,
    unknown
  >;
  expect([ours.metadata.get('bom'), theirs['bom']]).toEqual(['\uFEFF', '']);
  expect(ours.metadata.get('__proto__')).toEqual(Uint8Array.of(1));
  expect(Object.getPrototypeOf(theirs)).not.toBe(Object.prototype);
});
