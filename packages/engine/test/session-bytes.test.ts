import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineError, loadModel, type Model } from '../src/index.ts';
import { WordHash } from '../src/word-hash.ts';
import { tinyBytes } from './fixtures.ts';
import { f32, setData, setValue } from './patch.ts';

// What `session.save()` gives and `model.restoreSession` takes: whole, or an error that says what is wrong.

const PROMPT = [502, 311, 480, 305, 454, 269];

let model: Model;
let saved: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  model = await loadModel(tinyBytes());
  using session = model.createSession({ contextLength: 32 });
  await session.evaluate(PROMPT);
  await session.evaluate([7]);
  saved = session.save();
});
afterAll(() => model.dispose());

function codeOf(of: Model, bytes: Uint8Array): string {
  try {
    of.restoreSession(bytes).dispose();
    return 'restored';
  } catch (error) {
    return error instanceof EngineError ? error.code : String(error);
  }
}

test('restoring and saving again gives the same bytes, also from bytes that are not aligned', () => {
  using session = model.restoreSession(saved);
  expect(session).toMatchObject({ position: 7, contextLength: 32, kvType: 'f16' });
  expect(session.ids()).toEqual([...PROMPT, 7]);
  expect(session.save()).toEqual(saved);
  const shifted = new Uint8Array(saved.length + 1);
  shifted.set(saved, 1);
  using again = model.restoreSession(shifted.subarray(1));
  expect(again.save()).toEqual(saved);
});

test('an empty session can be saved, too', () => {
  using session = model.createSession();
  using restored = model.restoreSession(session.save());
  expect(restored).toMatchObject({ position: 0, contextLength: 1024 });
});

test('the size is that of the tokens, not of the context', () => {
  // Header, ids, micro-batches, 7 flags padded to 8, then 4 layers of keys and values of 2 heads of 64 in f16
  expect(saved.length).toBe(56 + 7 * 8 + 8 + 7 * 4 * 2 * 2 * 64 * 2);
});

describe('bytes of another model', () => {
  test.each([
    ['a weight changed', async () => loadModel(await setData(tinyBytes(), 'blk.0.attn_norm.weight', 0, f32(3)))],
    ['a scale changed', async () => loadModel(await setData(tinyBytes(), 'blk.3.ffn_down.weight', -32, f32(3)))],
    [
      'a code changed',
      async () => loadModel(await setData(tinyBytes(), 'blk.2.attn_k.weight', 99, Uint8Array.of(0x55))),
    ],
    ['another RoPE base', async () => loadModel(setValue(tinyBytes(), 'bitnet-b1.58.rope.freq_base', 10_000))],
    ['another layout', async () => loadModel(tinyBytes(), { i2sLayout: '64x16' })],
    ['other numerics', async () => loadModel(tinyBytes(), { numerics: 'avx2' })],
  ])('%s', async (_, load) => {
    using other = await load();
    expect(codeOf(other, saved)).toBe('ENGINE_SESSION_MISMATCH');
  });

  test('but not of the same one with more threads', async () => {
    using other = await loadModel(tinyBytes(), { threads: 2 });
    expect(codeOf(other, saved)).toBe('restored');
  });
});

describe('bytes that are damaged', () => {
  test('every length but the right one', () => {
    for (let length = 0; length < saved.length; length += length < 200 ? 1 : 97) {
      expect(codeOf(model, saved.subarray(0, length))).toBe('ENGINE_SESSION_DAMAGED');
    }
    expect(codeOf(model, new Uint8Array([...saved, 0]))).toBe('ENGINE_SESSION_DAMAGED');
  });

  test('any changed bit', () => {
    const codes = new Set<string>();
    const change = (at: number, bit: number): void => {
      const changed = saved.slice();
      changed[at]! ^= 1 << bit;
      codes.add(codeOf(model, changed));
    };
    fc.assert(fc.property(fc.nat(saved.length - 1), fc.nat(7), change), { numRuns: 3000 });
    for (let at = 0; at < 56; at++) for (let bit = 0; bit < 8; bit++) change(at, bit);
    expect([...codes]).toEqual(['ENGINE_SESSION_DAMAGED']);
  });

  test('other bytes', () => {
    const codes = new Set<string>();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(56), (bytes, kept) => {
        codes.add(codeOf(model, new Uint8Array([...saved.subarray(0, kept), ...bytes])));
      }),
      { numRuns: 2000 },
    );
    expect([...codes]).toEqual(['ENGINE_SESSION_DAMAGED']);
  });

  test.each([
    ['lanes', 8, 12, /numerics have 12 lanes/],
    ['bytes of a key', 12, 1, /keys have 1 bytes/],
    ['a context of none', 16, 0, /context length is 0/],
    ['more tokens than fit', 20, 33, /33 tokens in a context of 32/],
    ['an id', 56, 512, /id outside the vocabulary/],
    ['a negative id', 60, 0xffff_ffff, /id outside the vocabulary/],
    ['a micro-batch before the first', 56 + 28, 0xffff_ffff, /out of order/],
    ['a micro-batch that was skipped', 56 + 52, 2, /out of order/],
    ['a flag', 56 + 56, 0x02, /how tokens were evaluated/],
  ])('%s that cannot be, with a checksum that is right', (_, offset, value, message) => {
    const forged = saved.slice();
    new DataView(forged.buffer).setUint32(offset, value, true);
    forged.set(new WordHash().update(forged.subarray(0, 40)).update(forged.subarray(56)).digest(), 40);
    expect(() => model.restoreSession(forged)).toThrow(message);
    expect(codeOf(model, forged)).toBe('ENGINE_SESSION_DAMAGED');
  });

  test('nothing is allocated for a size that the bytes only claim', () => {
    const { memoryBytes } = model;
    const changed = saved.slice();
    new DataView(changed.buffer).setUint32(20, 0xffff_ffff, true);
    expect(() => model.restoreSession(changed)).toThrow(/4294967295 tokens in a context of 32/);
    new DataView(changed.buffer).setUint32(16, 0xffff_ffff, true);
    expect(() => model.restoreSession(changed)).toThrow(/context length is 4294967295, and the model's 1024/);
    expect(model.memoryBytes).toBe(memoryBytes);
  });
});
