import { Tokenizer as Native } from 'tokenizers';
import { describe, expect, test } from 'vitest';
import { tokenizerFromGguf, tokenizerFromJson } from '../src/index.ts';
import { HARD_TEXTS, randomTexts } from './texts.ts';
import { llama3Metadata, llama3Text, storytellerText } from './vocabularies.ts';

// The npm package `tokenizers` is the Rust library of Hugging Face.
const SEED = 20261123;

describe.each([
  ['LLaMA 3', llama3Text],
  ['the storyteller', storytellerText],
])('the ids of the native library, for %s', (_, read) => {
  const text = read();
  const native = Native.fromString(text);
  const ours = tokenizerFromJson(JSON.parse(text));

  /** Those of `texts` that differ in ids, or whose ids differ as text. */
  async function differing(texts: readonly string[]): Promise<string[]> {
    const encoded = await native.encodeBatch(texts.map((original) => original.toWellFormed()));
    const ids = encoded.map((encoding) => encoding.getIds());
    const spelled = await native.decodeBatch(ids, false);
    const skipped = await native.decodeBatch(ids, true);
    expect([ids.length, spelled.length, skipped.length]).toEqual([texts.length, texts.length, texts.length]);
    return texts.filter((original, index) => {
      const theirs = ids[index]!;
      const same =
        ours.encode(original, { parseSpecial: true }).join() === theirs.join() &&
        ours.decode(theirs) === spelled[index] &&
        ours.decode(theirs, { skipSpecial: true }) === skipped[index];
      return !same;
    });
  }

  test('hard texts', async () => {
    expect(HARD_TEXTS.length).toBeGreaterThanOrEqual(60);
    expect(await differing(HARD_TEXTS)).toEqual([]);
  });

  test(`20,000 random texts, seed ${SEED}`, async () => {
    expect(await differing([...randomTexts(20_000, SEED)])).toEqual([]);
  });
});

describe('known divergences still diverge', () => {
  // An engine whose Unicode is older than 17 agrees with the native library.
  test.runIf(/\p{N}/u.test('\u{11de0}'))('numbers and letters that are new in Unicode 17', async () => {
    const text = llama3Text();
    const native = Native.fromString(text);
    const ours = tokenizerFromJson(JSON.parse(text));
    const numbers = [...range(0x11de0, 0x11de9), ...range(0x16ff4, 0x16ff6)].map((code) => String.fromCodePoint(code));
    const texts = [...numbers.map((number) => `x${number}y 1${number}2 ${number}${number}`), "\u{32d0c}'re"];
    for (const original of texts) {
      expect(ours.encode(original)).not.toEqual((await native.encode(original)).getIds());
    }
  });

  test.runIf(/\p{N}/u.test('\u{11de0}'))("llama.cpp's llama-bpe, with older tables, and tokenizer.json", () => {
    const json = tokenizerFromJson(JSON.parse(llama3Text()));
    const gguf = tokenizerFromGguf(llama3Metadata('llama-bpe'));
    const encode = (text: string) => [gguf, json].map((tokenizer) => tokenizer.encode(text, { addBos: false }));
    // Of all code points the only one that gives other ids in this text.
    const [a, b] = encode('x\u{11de6}y 1\u{11de6}2 ?\u{11de6}?');
    expect(a).not.toEqual(b);
    for (const text of HARD_TEXTS) {
      const [c, d] = encode(text);
      expect(c).toEqual(d);
    }
  });
});

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
