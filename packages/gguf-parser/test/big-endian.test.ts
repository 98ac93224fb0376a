import { expect, test } from 'vitest';
import { GgufEditor, openGguf } from '../src/index.ts';
import * as b from './builder.ts';

const { VALUE } = b;

/** The builder's numbers the other way round. */
const be = (bytes: Uint8Array): Uint8Array => bytes.toReversed();
const text = (value: string): Uint8Array => b.concat(be(b.u64(value.length)), new TextEncoder().encode(value));

function entry(key: string, type: number, value: Uint8Array): Uint8Array {
  return b.concat(text(key), be(b.u32(type)), value);
}

function tensor(name: string, dims: readonly number[], type: number, offset: number): Uint8Array {
  const encoded = dims.map((dim) => be(b.u64(dim)));
  return b.concat(text(name), be(b.u32(dims.length)), ...encoded, be(b.u32(type)), be(b.u64(offset)));
}

const halfOne = Uint8Array.of(0x3c, 0x00); // 1.0, big-endian
const q8 = b.ramp(32);

function bigEndianFile(i2sToo = false): Uint8Array<ArrayBuffer> {
  const header = b.concat(
    new TextEncoder().encode('GGUF'),
    be(b.u32(3)),
    be(b.u64(i2sToo ? 4 : 3)),
    be(b.u64(6)),
    entry('u64', VALUE.u64, be(b.u64(2n ** 40n))),
    entry('f64', VALUE.f64, be(b.f64(0.1))),
    entry('text', VALUE.string, text('hello')),
    entry('u16s', VALUE.array, b.concat(be(b.u32(VALUE.u16)), be(b.u64(2)), be(b.u16(1)), be(b.u16(513)))),
    entry('i64s', VALUE.array, b.concat(be(b.u32(VALUE.i64)), be(b.u64(1)), be(b.i64(-2n)))),
    entry('texts', VALUE.array, b.concat(be(b.u32(VALUE.string)), be(b.u64(2)), text('a'), text('bc'))),
    tensor('f32', [2], 0, 0),
    tensor('f16', [2], 1, 32),
    tensor('q8_0', [32], 8, 64),
    ...(i2sToo ? [tensor('i2s', [128], 36, 128)] : []),
  );
  const padding = new Uint8Array(Math.ceil(header.length / 32) * 32 - header.length);
  const f32 = b.concat(be(b.f32(1.5)), be(b.f32(-2)), new Uint8Array(24));
  const f16 = b.concat(halfOne, halfOne, new Uint8Array(28));
  const data = b.concat(f32, f16, halfOne, q8, new Uint8Array(30));
  return b.concat(header, padding, data, new Uint8Array(i2sToo ? 64 : 0));
}

test('header', async () => {
  const gguf = await openGguf(bigEndianFile());
  expect(gguf).toMatchObject({ version: 3, byteOrder: 'big' });
  expect(gguf.metadata.get('u64')).toBe(2 ** 40);
  expect(gguf.metadata.get('f64')).toBe(0.1);
  expect(gguf.metadata.get('text')).toBe('hello');
  expect(gguf.metadata.get('u16s')).toEqual(Uint16Array.of(1, 513));
  expect(gguf.metadata.get('i64s')).toEqual(BigInt64Array.of(-2n));
  expect(gguf.metadata.get('texts')).toEqual(['a', 'bc']);
  expect(gguf.tensors.get('f32')).toMatchObject({ shape: [2], sizeBytes: 8 });
});

test('tensor data comes in little-endian order', async () => {
  const bytes = bigEndianFile();
  const untouched = Uint8Array.from(bytes);
  const gguf = await openGguf(bytes);
  expect(await gguf.readTensor('f32')).toEqual(b.concat(b.f32(1.5), b.f32(-2)));
  expect(await gguf.dequantize('f16')).toEqual(Float32Array.of(1, 1));
  expect(await gguf.readTensor('q8_0')).toEqual(b.concat(halfOne.toReversed(), q8));
  expect(await gguf.dequantize('q8_0')).toEqual(Float32Array.from(q8, (byte) => (byte << 24) >> 24));
  expect(bytes).toEqual(untouched);
});

test('what a big-endian I2_S tensor would be is not agreed', async () => {
  const gguf = await openGguf(bigEndianFile(true));
  await expect(gguf.readTensor('i2s')).rejects.toMatchObject({ code: 'GGUF_BIG_ENDIAN' });
  await expect(gguf.dequantize('i2s')).rejects.toMatchObject({ code: 'GGUF_BIG_ENDIAN' });
});

test('every proper prefix is refused', async () => {
  const bytes = bigEndianFile(true);
  for (let length = 0; length < bytes.length; length++) {
    await expect(openGguf(bytes.subarray(0, length)), `${length} bytes`).rejects.toMatchObject({ name: 'GgufError' });
  }
});

test('an edited file stays big-endian', async () => {
  const editor = new GgufEditor(await openGguf(bigEndianFile()));
  const edited = await openGguf(b.concat(...(await b.collect(editor.set('u32', 'u32', 7).remove('text').chunks()))));
  expect(edited.byteOrder).toBe('big');
  expect(edited.metadata.get('u32')).toBe(7);
  expect(await edited.dequantize('f32')).toEqual(Float32Array.of(1.5, -2));
});
