import { describe, expect, test } from 'vitest';
import type { GgufSource } from '../src/index.ts';
import { GgufError, openGguf, sourceFromBytes } from '../src/index.ts';
import * as b from './builder.ts';

const { VALUE, TENSOR } = b;

describe('a small file', () => {
  test('metadata, tensors and data', async () => {
    const bytes = b.smallFile();
    const gguf = await openGguf(bytes);
    expect(gguf.version).toBe(3);
    expect(gguf.alignment).toBe(32);
    expect([...gguf.metadata.keys()]).toEqual([
      'general.architecture',
      'flag',
      'epsilon',
      'counts',
      'tokens',
      'nested',
    ]);
    expect(gguf.metadata.get('general.architecture')).toBe('bitnet-b1.58');
    expect([...gguf.tensors.keys()]).toEqual(['norm', 'weights']);
    expect(gguf.tensors.get('weights')).toEqual({
      name: 'weights',
      typeId: 36,
      type: 'I2_S',
      shape: [2, 128],
      ggmlDims: [128, 2],
      elementCount: 256,
      offsetBytes: gguf.dataOffsetBytes + 32,
      sizeBytes: 64 + 32,
    });
    expect(gguf.dataOffsetBytes % 32).toBe(0);
    expect(gguf.dataOffsetBytes + 32 + 96).toBe(bytes.byteLength);
    expect(await gguf.readTensor('norm')).toEqual(b.ramp(16));
    expect(await gguf.readTensor('weights')).toEqual(b.ramp(128).subarray(32));
  });

  test('version 2, and bytes as ArrayBuffer or as a view into a larger one', async () => {
    const bytes = b.smallFile();
    bytes[4] = 2;
    const framed = b.concat(new Uint8Array(3), bytes, new Uint8Array(5)).subarray(3, -5);
    for (const given of [bytes.buffer, framed, sourceFromBytes(bytes, 'x.gguf')]) {
      const gguf = await openGguf(given);
      expect(gguf.version).toBe(2);
      expect(await gguf.readTensor('norm')).toEqual(b.ramp(16));
    }
  });

  test('every proper prefix is refused', async () => {
    const bytes = b.smallFile();
    for (let length = 0; length < bytes.byteLength; length++) {
      const outcome = openGguf(bytes.subarray(0, length));
      await expect(outcome, `${length} bytes`).rejects.toMatchObject({
        name: 'GgufError',
        code: expect.stringMatching(/^GGUF_(TRUNCATED|TENSOR_BEYOND_END)$/),
      });
    }
  });

  test('a file may have no tensors, and then no padding', async () => {
    const gguf = await openGguf(b.file({ metadata: [b.entry('k', VALUE.u8, b.u8(7))] }));
    expect(gguf.tensors.size).toBe(0);
    expect(gguf.metadata.get('k')).toBe(7);
  });

  test('an unknown tensor name is the caller’s mistake', async () => {
    const gguf = await openGguf(b.smallFile());
    await expect(gguf.readTensor('blk.0.none')).rejects.toThrow(RangeError);
  });
});

async function readValue(type: number, value: Uint8Array): Promise<[unknown, string | undefined]> {
  const { metadata } = await openGguf(b.file({ metadata: [b.entry('k', type, value)] }));
  return [metadata.get('k'), metadata.typeOf('k')];
}

describe('values', () => {
  test.each([
    ['u8', b.u8(255), 255],
    ['i8', b.i8(-128), -128],
    ['u16', b.u16(65_535), 65_535],
    ['i16', b.i16(-32_768), -32_768],
    ['u32', b.u32(4_294_967_295), 4_294_967_295],
    ['i32', b.i32(-2_147_483_648), -2_147_483_648],
    ['f32', b.f32(1e-5), Math.fround(1e-5)],
    ['f32', b.f32(Number.NaN), Number.NaN],
    ['f64', b.f64(-0), -0],
    ['bool', b.u8(0), false],
    ['bool', b.u8(1), true],
    ['string', b.string(''), ''],
    ['string', b.string('\uFEFF'), '\uFEFF'],
    ['string', b.string('a\0▁é😀'), 'a\0▁é😀'],
    ['u64', b.u64(2n ** 53n - 1n), Number.MAX_SAFE_INTEGER],
    ['u64', b.u64(2n ** 53n), 2n ** 53n],
    ['u64', b.u64(2n ** 64n - 1n), 2n ** 64n - 1n],
    ['i64', b.i64(-1), -1],
    ['i64', b.i64(-(2n ** 53n) + 1n), Number.MIN_SAFE_INTEGER],
    ['i64', b.i64(-(2n ** 63n)), -(2n ** 63n)],
  ] as const)('%s %#', async (type, bytes, value) => {
    expect(await readValue(VALUE[type], bytes)).toStrictEqual([value, type]);
  });

  test.each([
    ['u8', [b.u8(1), b.u8(255)], Uint8Array.of(1, 255)],
    ['i8', [b.i8(-1), b.i8(127)], Int8Array.of(-1, 127)],
    ['u16', [b.u16(1), b.u16(65_535)], Uint16Array.of(1, 65_535)],
    ['i16', [b.i16(-1), b.i16(2)], Int16Array.of(-1, 2)],
    ['u32', [b.u32(1), b.u32(4_294_967_295)], Uint32Array.of(1, 4_294_967_295)],
    ['i32', [b.i32(-1), b.i32(2)], Int32Array.of(-1, 2)],
    ['f32', [b.f32(0.5), b.f32(-0)], Float32Array.of(0.5, -0)],
    ['f64', [b.f64(0.1)], Float64Array.of(0.1)],
    ['u64', [b.u64(1), b.u64(2n ** 64n - 1n)], BigUint64Array.of(1n, 2n ** 64n - 1n)],
    ['i64', [b.i64(-1)], BigInt64Array.of(-1n)],
    ['bool', [b.u8(1), b.u8(0)], [true, false]],
    ['string', [b.string('\uFEFF'), b.string('')], ['\uFEFF', '']],
    ['u32', [], new Uint32Array(0)],
    ['string', [], []],
  ] as const)('array<%s> %#', async (type, elements, value) => {
    expect(await readValue(VALUE.array, b.array(VALUE[type], elements))).toStrictEqual([value, `array<${type}>`]);
  });

  test('arrays in arrays', async () => {
    const inner = b.array(VALUE.array, [b.array(VALUE.i16, [b.i16(-5)])]);
    const value = b.array(VALUE.array, [inner, b.array(VALUE.string, [b.string('x')])]);
    expect(await readValue(VALUE.array, value)).toStrictEqual([[[Int16Array.of(-5)], ['x']], 'array<array>']);
  });

  test('a typed array has a buffer of its own, not the window of the file', async () => {
    const [value] = await readValue(VALUE.array, b.array(VALUE.u16, [b.u16(1)]));
    expect((value as Uint16Array).buffer.byteLength).toBe(2);
  });

  test('__proto__ and constructor are keys like any other', async () => {
    const metadata = [
      b.entry('__proto__', VALUE.array, b.array(VALUE.string, [b.string('polluted')])),
      b.entry('constructor', VALUE.u8, b.u8(1)),
    ];
    const gguf = await openGguf(b.file({ metadata }));
    expect(gguf.metadata.get('__proto__')).toEqual(['polluted']);
    expect(gguf.metadata.get('constructor')).toBe(1);
    expect(gguf.metadata.has('toString')).toBe(false);
    expect(gguf.metadata.get('toString')).toBeUndefined();
    expect(gguf.metadata.typeOf('toString')).toBeUndefined();
    expect(Object.keys({})).toEqual([]);
  });
});

describe('tensors', () => {
  test.each([1, 8, 64, 4096])('alignment %i', async (alignment) => {
    const second = Math.ceil(9 / alignment) * alignment;
    const gguf = await openGguf(
      b.file({
        metadata: [b.entry('general.alignment', VALUE.u32, b.u32(alignment))],
        tensors: [
          b.tensor({ name: 'a', dims: [9], type: 24 }),
          b.tensor({ name: 'b', dims: [2], type: TENSOR.F16, offset: second }),
        ],
        alignment,
        data: b.ramp(second + 4),
      }),
    );
    expect(gguf.alignment).toBe(alignment);
    expect(gguf.dataOffsetBytes % alignment).toBe(0);
    expect(await gguf.readTensor('a')).toEqual(b.ramp(9));
    expect(await gguf.readTensor('b')).toEqual(b.ramp(second + 4).subarray(second));
  });

  test('may be in any order and have gaps between them', async () => {
    const gguf = await openGguf(
      b.file({
        tensors: [b.tensor({ name: 'late', dims: [2], offset: 96 }), b.tensor({ name: 'early', dims: [2], offset: 0 })],
        data: b.ramp(104),
      }),
    );
    expect([...gguf.tensors.keys()]).toEqual(['late', 'early']);
    expect(await gguf.readTensor('late')).toEqual(b.ramp(104).subarray(96));
  });
});

describe('a header larger than one window', () => {
  const pieces = Array.from({ length: 60_000 }, (_, index) => `token ${index} ▁é`);
  const scores = Float32Array.from(pieces, (_, index) => -index);
  const dataBytes = 4 * 2 ** 20;
  const bytes = b.file({
    metadata: [
      ...Array.from({ length: 3_000 }, (_, index) =>
        b.entry(`key.${index}`, VALUE.string, b.string('x'.repeat(index % 200))),
      ),
      b.entry(
        'tokens',
        VALUE.array,
        b.array(
          VALUE.string,
          pieces.map((piece) => b.string(piece)),
        ),
      ),
      b.entry('scores', VALUE.array, b.concat(b.u32(VALUE.f32), b.u64(scores.length), new Uint8Array(scores.buffer))),
      b.entry(
        'nested',
        VALUE.array,
        b.array(
          VALUE.array,
          Array.from({ length: 30_000 }, () => b.array(VALUE.u8, [])),
        ),
      ),
      b.entry('last', VALUE.u8, b.u8(9)),
    ],
    tensors: [b.tensor({ dims: [dataBytes / 4] })],
    data: new Uint8Array(dataBytes),
  });
  const headerBytes = bytes.byteLength - dataBytes;

  test('is read in windows, once, and without the data', async () => {
    const reads: number[] = [];
    const whole = sourceFromBytes(bytes);
    const source: GgufSource = {
      ...whole,
      read(offsetBytes, lengthBytes, signal) {
        reads.push(lengthBytes);
        return whole.read(offsetBytes, lengthBytes, signal);
      },
    };
    const { metadata } = await openGguf(source);
    expect(metadata.get('key.199')).toBe('x'.repeat(199));
    expect(metadata.get('tokens')).toEqual(pieces);
    expect(metadata.get('scores')).toEqual(scores);
    expect(metadata.get('nested')).toHaveLength(30_000);
    expect(metadata.get('last')).toBe(9);
    expect(reads.length).toBeGreaterThan(3);
    const total = reads.reduce((sum, length) => sum + length, 0);
    expect(total).toBeGreaterThanOrEqual(headerBytes - 32);
    expect(total).toBeLessThan(headerBytes + 2 ** 20);
  });

  test('limits.headerBytes stops it', async () => {
    await expect(openGguf(bytes, { limits: { headerBytes: headerBytes / 2 } })).rejects.toMatchObject({
      code: 'GGUF_LIMIT_EXCEEDED',
      message: expect.stringContaining('headerBytes'),
    });
  });

  test('an abort between two reads stops it with the signal’s reason', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const whole = sourceFromBytes(bytes);
    let reads = 0;
    const source: GgufSource = {
      ...whole,
      read(offsetBytes, lengthBytes) {
        reads += 1;
        if (reads === 2) {
          controller.abort(reason);
        }
        return whole.read(offsetBytes, lengthBytes);
      },
    };
    await expect(openGguf(source, { signal: controller.signal })).rejects.toBe(reason);
    expect(reads).toBe(2);
  });
});

describe('arguments', () => {
  test('an aborted signal: open and readTensor reject with its reason', async () => {
    const signal = AbortSignal.abort('stop');
    await expect(openGguf(b.smallFile(), { signal })).rejects.toBe('stop');
    const gguf = await openGguf(b.smallFile());
    await expect(gguf.readTensor('norm', { signal })).rejects.toBe('stop');
  });

  test('unknown options and limits are TypeErrors, impossible limits RangeErrors', async () => {
    const bytes = b.smallFile();
    // @ts-expect-error -- a misspelt option
    await expect(openGguf(bytes, { limit: {} })).rejects.toThrow(TypeError);
    // @ts-expect-error -- a misspelt limit
    await expect(openGguf(bytes, { limits: { tensor: 3 } })).rejects.toThrow(TypeError);
    await expect(openGguf(bytes, { limits: { tensors: Number.NaN } })).rejects.toThrow(RangeError);
    await expect(openGguf(bytes, { limits: { tensors: -1 } })).rejects.toThrow(RangeError);
    await expect(openGguf(bytes, { limits: { headerBytes: Infinity } })).resolves.toBeDefined();
  });

  test('a source with a nonsensical size is a TypeError', async () => {
    const source = { ...sourceFromBytes(b.smallFile()), sizeBytes: Number.NaN };
    await expect(openGguf(source)).rejects.toThrow(TypeError);
  });

  test('a source that gives too little is found out', async () => {
    const whole = sourceFromBytes(b.smallFile());
    const source: GgufSource = { ...whole, read: (offset, length) => whole.read(offset, Math.max(0, length - 1)) };
    await expect(openGguf(source)).rejects.toMatchObject({ code: 'GGUF_SHORT_READ' });
  });

  test('reads outside a source over bytes are RangeErrors', async () => {
    const source = sourceFromBytes(new Uint8Array(4));
    await expect(source.read(2, 3)).rejects.toThrow(RangeError);
    await expect(source.read(-1, 2)).rejects.toThrow(RangeError);
    await expect(source.read(0, Number.NaN)).rejects.toThrow(RangeError);
  });

  test('a failed file does not spoil the next one', async () => {
    const bad = b.file({ metadata: [b.entry(Uint8Array.of(0xe2, 0x96), VALUE.u8, b.u8(1))] });
    await expect(openGguf(bad)).rejects.toThrow(GgufError);
    const gguf = await openGguf(b.file({ metadata: [b.entry('k', VALUE.string, b.string('é'))] }));
    expect(gguf.metadata.get('k')).toBe('é');
  });
});
