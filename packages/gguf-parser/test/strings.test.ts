import { expect, test } from 'vitest';
import { openGguf } from '../src/index.ts';
import * as b from './builder.ts';

const { VALUE } = b;
const invalid = Uint8Array.of(0xff, 0x61);

const gguf = await openGguf(
  b.file({
    metadata: [
      b.entry('text', VALUE.string, b.string('\uFEFFa\0')),
      b.entry('bytes', VALUE.string, b.string(invalid)),
      b.entry('tokens', VALUE.array, b.array(VALUE.string, [b.string('\uFEFF'), b.string('\0'), b.string(invalid)])),
      b.entry('nested', VALUE.array, b.array(VALUE.array, [b.array(VALUE.string, [b.string(invalid)])])),
      b.entry('number', VALUE.u8, b.u8(1)),
      b.entry('surrogate', VALUE.string, b.string(Uint8Array.of(0xed, 0xa0, 0x80))),
    ],
  }),
);

test('text is never altered: BOM and NUL stay', () => {
  expect(gguf.metadata.get('text')).toBe('\uFEFFa\0');
});

test('bytes that are not UTF-8 open, can be read as bytes, and are an error as text', () => {
  expect(gguf.metadata.stringBytes('bytes')).toEqual([invalid]);
  expect(gguf.metadata.stringBytes('tokens')).toEqual([Uint8Array.of(0xef, 0xbb, 0xbf), Uint8Array.of(0), invalid]);
  for (const key of ['bytes', 'tokens', 'nested', 'surrogate']) {
    expect(() => gguf.metadata.get(key)).toThrow(expect.objectContaining({ name: 'GgufError', code: 'GGUF_BAD_UTF8' }));
  }
  expect(() => gguf.metadata.get('tokens')).toThrow('String 2 of the value of "tokens"');
});

test('only strings and arrays of strings have string bytes', () => {
  for (const key of ['number', 'nested', 'none', '__proto__']) {
    expect(gguf.metadata.stringBytes(key)).toBeUndefined();
  }
});

test('the same value comes back each time', async () => {
  const small = await openGguf(b.smallFile());
  expect(small.metadata.get('tokens')).toBe(small.metadata.get('tokens'));
});
