import { expect, test } from 'vitest';
import { preTokenizerNamed, splitIntoWords } from './pre-tokenizers.ts';

const split = (text: string, name: string) => splitIntoWords(text, preTokenizerNamed(name));

test.each<[text: string, llamaBpe: string[], byDefault: string[]]>([
  ['', [], []],
  [" it'S", [' it', "'S"], [' it', "'", 'S']],
  ['x = 12345', ['x', ' =', ' ', '123', '45'], ['x', ' ', '=', ' ', '123', '45']],
  ['a\n\n  b', ['a', '\n\n', ' ', ' b'], ['a', '\n\n ', ' b']],
  ['\tx  ', ['\tx', '  '], ['\t', 'x', '  ']],
  ['!!\n', ['!!\n'], ['!!', '\n']],
  ['a\u0085\uFEFFb', ['a', '\u0085', '\uFEFFb'], ['a', '\u0085', '\uFEFF', 'b']],
  ['٣٤٥٦', ['٣٤٥', '٦'], ['٣٤٥٦']],
  // U+1C89, a letter since Unicode 16
  ['a\u1C89b', ['a', '\u1C89b'], ['a', '\u1C89', 'b']],
])('%j', (text, llamaBpe, byDefault) => {
  expect(split(text, 'llama-bpe')).toEqual(llamaBpe);
  expect(split(text, 'default')).toEqual(byDefault);
});

test('long runs take linear time', () => {
  for (const unit of ['a', ' ', '1', '!', "'", ' \n', '🙂']) {
    for (const name of ['llama-bpe', 'default'])
      expect(split(unit.repeat(100_000), name).join('')).toHaveLength(100_000 * unit.length);
  }
});
