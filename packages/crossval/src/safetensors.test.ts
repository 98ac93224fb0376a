import { describe, expect, test } from 'vitest';
import { readSafetensors, writeSafetensors } from './safetensors.ts';

const FILE = writeSafetensors([
  ['one', { shape: [2, 1], values: Float32Array.of(1, -0) }],
  ['two', { shape: [3], values: Float32Array.of(2, 3, 4) }],
]);

/** A file with this header over `dataBytes` zeros. */
function file(header: string, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

describe('readSafetensors', () => {
  test('reads what was written, bit for bit', () => {
    expect(readSafetensors(FILE)).toEqual(
      new Map([
        ['one', { shape: [2, 1], values: Float32Array.of(1, -0) }],
        ['two', { shape: [3], values: Float32Array.of(2, 3, 4) }],
      ]),
    );
  });

  test('reads a Buffer at an odd offset of a larger one', () => {
    const outer = Buffer.alloc(FILE.length + 3);
    outer.set(FILE, 3);
    expect(readSafetensors(outer.subarray(3)).get('two')?.values).toEqual(Float32Array.of(2, 3, 4));
  });

  test('accepts metadata and arrays in any order of the header', () => {
    const description = (begin: number) => `{"dtype":"F32","shape":[1],"data_offsets":[${begin},${begin + 4}]}`;
    const arrays = readSafetensors(file(`{"__metadata__":{"a":"b"},"z":${description(4)},"1":${description(0)}}`, 8));
    expect([...arrays.keys()]).toEqual(['1', 'z']);
  });

  test('refuses every proper prefix', () => {
    for (let length = 0; length < FILE.length; length++) {
      expect(() => readSafetensors(FILE.slice(0, length)), `${length} bytes`).toThrow(
        expect.objectContaining({ code: 'CROSSVAL_BAD_SAFETENSORS' }),
      );
    }
  });

  test.each([
    ['a header that is no object', '[]', 0],
    ['another type', '{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}', 4],
    ['a shape that does not fit', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4],
    ['a negative size', '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[4,0]}}', 4],
    ['a size that overflows', '{"a":{"dtype":"F32","shape":[9007199254740991,9],"data_offsets":[0,4]}}', 4],
    ['offsets beyond the file', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 4],
    ['a gap', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8],
    ['bytes of no array', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 8],
    [
      'an overlap',
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      4,
    ],
    ['no description', '{"a":null}', 0],
  ])('refuses %s', (_, header, dataBytes) => {
    expect(() => readSafetensors(file(header, dataBytes))).toThrow(
      expect.objectContaining({ code: 'CROSSVAL_BAD_SAFETENSORS' }),
    );
  });
});
