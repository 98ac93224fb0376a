import { describe, expect, test } from 'vitest';
import { tokenizerFromGguf, tokenizerFromJson } from '../src/index.ts';
import { storytellerText, vectorMetadata } from './vocabularies.ts';

const LIMIT_MS = 30_000;
const TOKENIZERS = {
  'GGUF, llama-bpe': tokenizerFromGguf(vectorMetadata('storyteller-vocabulary.json')),
  'GGUF, default': tokenizerFromGguf(vectorMetadata('storyteller-vocabulary.json'), { pre: 'default' }),
  'tokenizer.json': tokenizerFromJson(JSON.parse(storytellerText())),
};

describe.each(Object.entries(TOKENIZERS))('%s', (_, tokenizer) => {
  test('200,000 equal letters', () => {
    const started = performance.now();
    expect(tokenizer.decode(tokenizer.encode('a'.repeat(200_000), { addBos: false }))).toHaveLength(200_000);
    // Quadratic merging would take minutes.
    expect(performance.now() - started).toBeLessThan(LIMIT_MS);
  });

  test('1 MB of text, and decoding it token by token', () => {
    const text = 'The quick brown fox jumps over 12 lazy dogs.\n'.repeat(24_000).slice(0, 2 ** 20);
    const { ids, offsets } = tokenizer.encodeWithOffsets(text, { addBos: false });
    expect(offsets.at(-1)).toEqual([expect.any(Number), 2 ** 20]);
    const stream = tokenizer.decodeStream();
    let length = 0;
    for (const id of ids) length += stream.push(id).length;
    expect(length).toBe(text.length);
  });

  test('a run that is too long is a TokenizerError, whether or not the stack would overflow', () => {
    for (const length of [2 ** 20 + 1, 11_000_000]) {
      expect(() => tokenizer.encode('a'.repeat(length))).toThrow(
        expect.objectContaining({ code: 'TOKENIZER_TEXT_TOO_LONG' }),
      );
    }
  });
});
