import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tokenizerFromGguf } from '../src/index.ts';
import { llama3Metadata, smallMetadata, vectorMetadata } from './vocabularies.ts';

const SPECIAL_TEXTS = ['<|begin_of_text|>', '<|end_of_text|>', '<|eot_id|>', '<|start_header_id|>', '<s>', '<unk>'];

/** Well-formed text of all planes, rich in what the pre-tokenizers treat apart, and in special tokens. */
const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(
        ' ',
        '  ',
        '\n',
        '\r\n',
        '\t',
        '\u0085',
        '\uFEFF',
        "'s",
        "'LL",
        '123',
        '1234',
        '٣٤٥٦',
        '$=',
        '\0',
      ),
      fc.constantFrom(...SPECIAL_TEXTS),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

const TOKENIZERS = {
  'llama3, llama-bpe': tokenizerFromGguf(llama3Metadata('llama-bpe')),
  'llama3, default': tokenizerFromGguf(llama3Metadata()),
  tiny: tokenizerFromGguf(vectorMetadata('tiny-vocabulary.json')),
  'small, with all token types': tokenizerFromGguf(smallMetadata()),
};

describe.each(Object.entries(TOKENIZERS))('%s', (_, tokenizer) => {
  const id = fc.nat({ max: tokenizer.vocabSize - 1 });
  const ids = fc.array(fc.oneof(id, fc.nat({ max: 255 })), { maxLength: 40 });

  test('decoding what was encoded gives the text back', () => {
    fc.assert(
      fc.property(text, fc.boolean(), (original, parseSpecial) => {
        expect(tokenizer.decode(tokenizer.encode(original, { parseSpecial, addBos: false }))).toBe(original);
      }),
    );
  });

  test('text gives no control token unless asked for', () => {
    const specialIds = new Set(
      [...SPECIAL_TEXTS].flatMap((special) => tokenizer.encode(special, { parseSpecial: true, addBos: false })),
    );
    const control = [...specialIds].filter((special) => SPECIAL_TEXTS.includes(tokenizer.piece(special)));
    expect(control.length).toBeGreaterThan(1);
    fc.assert(
      fc.property(text, (original) => {
        const encoded = tokenizer.encode(original, { addBos: false });
        expect(encoded.filter((token) => control.includes(token))).toEqual([]);
      }),
    );
  });

  test('a stream gives what decoding the whole gives, and never half a character', () => {
    fc.assert(
      fc.property(ids, fc.boolean(), (tokens, skipSpecial) => {
        const stream = tokenizer.decodeStream({ skipSpecial });
        const parts = tokens.map((token) => stream.push(token));
        expect(parts.every((part) => part.isWellFormed())).toBe(true);
        expect(parts.join('') + stream.flush()).toBe(tokenizer.decode(tokens, { skipSpecial }));
      }),
    );
  });

  test('a stream of encoded text has no replacement character that the text has not', () => {
    fc.assert(
      fc.property(text, (original) => {
        const stream = tokenizer.decodeStream();
        const parts = tokenizer.encode(original, { addBos: false }).map((token) => stream.push(token));
        expect(parts.join('')).toBe(original);
        expect(stream.flush()).toBe('');
      }),
    );
  });
});
