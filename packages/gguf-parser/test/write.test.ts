import { describe, expect, test } from 'vitest';
import type { GgufEntry, GgufTensorData, WriteGgufOptions } from '../src/index.ts';
import { GgufEditor, openGguf, writeGguf } from '../src/index.ts';
import * as b from './builder.ts';

const { VALUE, TENSOR } = b;

async function write(options: WriteGgufOptions): Promise<Uint8Array<ArrayBuffer>> {
  return b.concat(...(await b.collect(writeGguf(options))));
}

/** Every type, with the values that break writers. */
const everything: readonly GgufEntry[] = [
  ['general.architecture', 'string', 'bitnet-b1.58'],
  ['u8', 'u8', 255],
  ['i8', 'i8', -128],
  ['u16', 'u16', 65_535],
  ['i16', 'i16', -32_768],
  ['u32', 'u32', 2 ** 32 - 1],
  ['i32', 'i32', -(2 ** 31)],
  ['f32', 'f32', 0.5],
  ['bool', 'bool', true],
  ['u64', 'u64', 2n ** 64n - 1n],
  ['i64', 'i64', -(2n ** 63n)],
  ['f64', 'f64', -0],
  ['__proto__', 'u8', 1],
  ['tokens', 'array<string>', ['', '\uFEFF', 'é']],
  ['flags', 'array<bool>', [true, false]],
  ['scores', 'array<f32>', Float32Array.of(1, -0)],
  ['types', 'array<i32>', Int32Array.of(1, 3)],
  ['longs', 'array<u64>', BigUint64Array.of(2n ** 64n - 1n)],
  ['none', 'array<u32>', new Uint32Array(0)],
  ['nested', 'array<array>', [Uint8Array.of(1, 2), ['x'], [[true]]]],
];

const tensors: readonly GgufTensorData[] = [
  { name: 'norm', type: 'F32', shape: [4], data: b.ramp(16) },
  { name: 'weights', type: 'I2_S', shape: [2, 128], data: b.ramp(96) },
  { name: 'tl1', type: 'TL1', shape: [2, 128], data: [b.ramp(50), b.ramp(46)] },
];

describe('writeGguf', () => {
  test('what is written is read: every type, tensors, trailers', async () => {
    const gguf = await openGguf(await write({ metadata: everything, tensors }));
    expect(Array.from(gguf.metadata.keys())).toEqual(everything.map(([key]) => key));
    for (const [key, type, value] of everything) {
      expect(gguf.metadata.typeOf(key)).toBe(type);
      expect(gguf.metadata.get(key)).toStrictEqual(value);
    }
    expect(gguf.dialect.name).toBe('bitnet.cpp');
    for (const { name, type, shape } of tensors) {
      expect(gguf.tensors.get(name)).toMatchObject({ type, shape });
    }
    expect(await gguf.readTensor('weights')).toEqual(b.ramp(96));
    expect(await gguf.readTensor('tl1')).toEqual(b.concat(b.ramp(50), b.ramp(46)));
  });

  test('the bytes are those of the test builder, which is another writer', async () => {
    const metadata: GgufEntry[] = [
      ['general.architecture', 'string', 'bitnet-b1.58'],
      ['flag', 'bool', true],
      ['epsilon', 'f32', 1e-5],
      ['counts', 'array<u32>', [3, 4]],
      ['tokens', 'array<string>', ['a', '\uFEFF', '▁é']],
      ['nested', 'array<array>', [Uint8Array.of(1), [false]]],
    ];
    const data = b.ramp(128);
    const written = await write({
      metadata,
      tensors: [
        { name: 'norm', type: 'F32', shape: [4], data: data.subarray(0, 16) },
        { name: 'weights', type: 'I2_S', shape: [2, 128], data: data.subarray(32) },
      ],
    });
    const expected = b.smallFile();
    expected.fill(0, expected.length - 128 + 16, expected.length - 96); // the builder's ramp runs through the padding
    expect(written).toEqual(expected);
  });

  test('bytes for strings, an alignment, no tensors, a dialect for TL2', async () => {
    const raw = Uint8Array.of(0xff);
    const aligned = await openGguf(
      await write({
        metadata: [
          ['general.alignment', 'u32', 64],
          ['raw', 'array<string>', [raw]],
        ],
        tensors: [
          { name: 'a', type: 'TL2', shape: [2, 256], data: b.ramp(160) },
          { name: 'b', type: 'F32', shape: [1], data: b.ramp(4) },
        ],
        dialect: 'bitnet.cpp-2026',
      }),
      { dialect: 'bitnet.cpp-2026' },
    );
    expect(aligned.metadata.stringBytes('raw')).toEqual([raw]);
    expect(aligned.tensors.get('a')).toMatchObject({ typeId: 42, type: 'TL2' });
    expect(aligned.tensors.get('b')!.offsetBytes).toBe(aligned.dataOffsetBytes + 192);
    expect((await openGguf(await write({ metadata: [] }))).metadata.size).toBe(0);
  });

  test.each<[string, WriteGgufOptions]>([
    ['a fraction', { metadata: [['k', 'u8', 1.5]] }],
    ['256 as u8', { metadata: [['k', 'u8', 256]] }],
    ['-1 as u64', { metadata: [['k', 'u64', -1]] }],
    ['2^63 as i64', { metadata: [['k', 'i64', 2n ** 63n]] }],
    ['2^53 as a number', { metadata: [['k', 'u64', 2 ** 53]] }],
    ['text as f32', { metadata: [['k', 'f32', 'x']] }],
    ['a number as bool', { metadata: [['k', 'bool', 1]] }],
    ['a number as string', { metadata: [['k', 'string', 1]] }],
    ['half a surrogate pair', { metadata: [['k', 'string', '\uD800']] }],
    ['text as array', { metadata: [['k', 'array<string>', 'abc']] }],
    ['an empty array in an array', { metadata: [['k', 'array<array>', [[]]]] }],
    ['an empty key', { metadata: [['', 'u8', 1]] }],
    [
      'a key twice',
      {
        metadata: [
          ['k', 'u8', 1],
          ['k', 'u8', 1],
        ],
      },
    ],
    ['an alignment of 33', { metadata: [['general.alignment', 'u32', 33]] }],
    ['a tensor twice', { metadata: [], tensors: [tensors[0]!, tensors[0]!] }],
    ['a tensor without a name', { metadata: [], tensors: [{ ...tensors[0]!, name: '' }] }],
    ['too little data', { metadata: [], tensors: [{ ...tensors[0]!, data: b.ramp(15) }] }],
    ['too much data', { metadata: [], tensors: [{ ...tensors[0]!, data: b.ramp(17) }] }],
    ['a dimension of 0', { metadata: [], tensors: [{ ...tensors[0]!, shape: [0] }] }],
    ['5 dimensions', { metadata: [], tensors: [{ ...tensors[0]!, shape: [1, 1, 1, 1, 4] }] }],
    ['I2_S with a row of 6', { metadata: [], tensors: [{ ...tensors[1]!, shape: [6] }] }],
    ['TL2 without a dialect', { metadata: [], tensors: [{ ...tensors[0]!, type: 'TL2', shape: [2, 256] }] }],
    ['a type that the dialect has not', { metadata: [], tensors: [tensors[1]!], dialect: 'ggml' }],
  ])('%s is a TypeError or RangeError', async (_, options) => {
    await expect(write(options)).rejects.toThrow(
      expect.toSatisfy((error) => error instanceof TypeError || error instanceof RangeError),
    );
  });
});

/** With all that an editor could lose: padding that is not zero, gaps, bytes after the last tensor, hidden trailers. */
function strangeFile(): Uint8Array<ArrayBuffer> {
  const bytes = b.file({
    metadata: [
      b.entry('general.architecture', VALUE.string, b.string('bitnet')),
      b.entry('raw', VALUE.string, b.string(Uint8Array.of(0xff))),
      b.entry('nan', VALUE.f32, Uint8Array.of(1, 0, 0xa0, 0x7f)), // a signalling NaN with a payload
      b.entry('nested', VALUE.array, b.array(VALUE.array, [b.array(VALUE.u8, [])])),
    ],
    tensors: [
      b.tensor({ name: 'late', dims: [128], type: TENSOR.TL1, offset: 160 }),
      b.tensor({ name: 'early', dims: [128], type: TENSOR.I2_S, offset: 32 }),
    ],
    data: b.ramp(160 + 64 + 77).map((byte) => byte ^ 0xa5),
  });
  bytes.fill(0xee, bytes.length - 301 - 5, bytes.length - 301); // in the padding before the data
  return bytes;
}

describe('GgufEditor', () => {
  test.each([
    ['a strange file', strangeFile()],
    ['a small file', b.smallFile()],
    ['a file without tensors or padding', b.file({ metadata: [b.entry('k', VALUE.u8, b.u8(7))] })],
    ['an empty file', b.file()],
  ])('without a change: %s comes out byte for byte', async (_, bytes) => {
    const editor = new GgufEditor(await openGguf(bytes));
    expect(b.concat(...(await b.collect(editor.chunks())))).toEqual(bytes);
  });

  test('version 2 stays version 2', async () => {
    const bytes = b.smallFile();
    bytes[4] = 2;
    expect(b.concat(...(await b.collect(new GgufEditor(await openGguf(bytes)).chunks())))).toEqual(bytes);
  });

  test('set and remove change metadata and nothing else', async () => {
    const bytes = strangeFile();
    const before = await openGguf(bytes);
    const editor = new GgufEditor(before)
      .set('general.architecture', 'string', 'bitnet-b1.58')
      .set('tokenizer.ggml.pre', 'string', 'llama-bpe')
      .remove('nested');
    const edited = b.concat(...(await b.collect(editor.chunks())));
    const after = await openGguf(edited);
    expect([...after.metadata.keys()]).toEqual(['general.architecture', 'raw', 'nan', 'tokenizer.ggml.pre']);
    expect(after.metadata.get('general.architecture')).toBe('bitnet-b1.58');
    expect(after.metadata.stringBytes('raw')).toEqual([Uint8Array.of(0xff)]);
    expect(edited.subarray(after.dataOffsetBytes)).toEqual(bytes.subarray(before.dataOffsetBytes));
    for (const name of before.tensors.keys()) {
      expect(await after.readTensor(name)).toEqual(await before.readTensor(name));
    }
  });

  test('a change undone gives the same file', async () => {
    const bytes = b.smallFile();
    const editor = new GgufEditor(await openGguf(bytes)).set('flag', 'bool', true).set('new', 'u8', 1).remove('new');
    expect(b.concat(...(await b.collect(editor.chunks())))).toEqual(bytes);
  });

  test('the alignment, keys that are not there, and split models are refused', async () => {
    const editor = new GgufEditor(await openGguf(b.smallFile()));
    expect(() => editor.set('general.alignment', 'u32', 64)).toThrow(TypeError);
    expect(() => editor.remove('general.alignment')).toThrow(TypeError);
    expect(() => editor.remove('none')).toThrow(RangeError);
    const shard = (number: number): Uint8Array =>
      b.file({
        metadata: [b.entry('split.no', VALUE.u16, b.u16(number)), b.entry('split.count', VALUE.u16, b.u16(2))],
      });
    const split = await openGguf([shard(0), shard(1)]);
    expect(() => new GgufEditor(split)).toThrow(/split/);
  });
});
