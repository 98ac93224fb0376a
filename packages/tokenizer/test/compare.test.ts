import { expect, test } from 'vitest';
import { compareTokenizers, explainPiece, tokenizerFromGguf } from '../src/index.ts';
import { llama3Metadata, smallMetadata, vectorMetadata } from './vocabularies.ts';

const small = (changes: Record<string, unknown> = {}) => tokenizerFromGguf(smallMetadata(changes));

test('equal tokenizers', () => {
  expect(compareTokenizers(small(), small(), ['', 'abc', '<s>'])).toBeUndefined();
});

test.each([
  ['BOS', small(), small({ add_bos_token: false }), ['ab'], /only the first adds BOS \(259\)/],
  ['EOS', small(), small({ add_eos_token: true }), ['ab'], /add_eos_token/],
  ['merges', small(), small({ pre: 'llama-bpe', merges: ['a b', 'b c'] }), ['abcx'], /merges/],
  ['the vocabulary', small(), tokenizerFromGguf(vectorMetadata('tiny-vocabulary.json')), ['a'], /265 and 512 tokens/],
] as const)('%s', (_, a, b, texts, cause) => {
  expect(compareTokenizers(a, b, texts)?.cause).toMatch(cause);
});

test('the first difference, in text and token', () => {
  const byDefault = tokenizerFromGguf(llama3Metadata());
  const bpe = tokenizerFromGguf(llama3Metadata('llama-bpe'));
  const difference = compareTokenizers(byDefault, bpe, ['Hello', 'Hello x = 12345', 'never']);
  expect(difference).toMatchObject({
    textIndex: 1,
    tokenIndex: 3,
    cause: 'other pre-tokenizers: default and llama-bpe',
  });
  expect(difference?.a.pieces.slice(3, 5)).toEqual([' ', '=']);
  expect(difference?.b.pieces.slice(3, 5)).toEqual([' =', ' ']);
});

test('a missing BOS does not hide what else differs', () => {
  const withoutBos = tokenizerFromGguf(llama3Metadata().set('tokenizer.ggml.add_bos_token', false));
  const bpe = tokenizerFromGguf(llama3Metadata('llama-bpe'));
  expect(compareTokenizers(withoutBos, bpe, ['Hello x = 12345'])).toMatchObject({
    tokenIndex: 0,
    cause: 'only the second adds BOS (128000): add_bos_token differs; and other pre-tokenizers: default and llama-bpe',
  });
});

test('a control token on one side', () => {
  const types = smallMetadata().get('tokenizer.ggml.token_type') as number[];
  const plain = small({ token_type: types.with(262, 4) });
  expect(compareTokenizers(small(), plain, ['<unk>'])?.cause).toMatch(/pieces|normalizes/);
  const bos = small({ add_bos_token: false });
  expect(compareTokenizers(small(), bos, ['<s>'], { parseSpecial: true })?.cause).toBe('the first doubles BOS (259)');
});

test('pieces for people', () => {
  expect(explainPiece(' a\n\tb\r')).toBe('·a⏎⇥b␍');
  expect(explainPiece('\u001b[31m\u200b\u00a0\u{e0061}é🙂')).toBe('\\u{1b}[31m\\u{200b}\\u{a0}\\u{e0061}é🙂');
});
