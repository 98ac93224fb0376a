import { expect, test } from 'vitest';
import { preTokenizerNamed, preTokenizerNames, splitIntoWords } from './pre-tokenizers.ts';

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

const TEXT = "It's 12345 FooBar a.b()\n\n x  y'RE";

test.each<[names: string, words: string[]]>([
  ['gpt-2 phi-2 olmo', ['It', "'s", ' 12345', ' FooBar', ' a', '.', 'b', '()', '\n\n', ' x', ' ', ' y', "'", 'RE']],
  [
    'starcoder refact command-r smollm',
    ['It', "'s", ' ', '1', '2', '3', '4', '5', ' FooBar', ' a', '.', 'b', '()', '\n\n', ' x', ' ', ' y', "'", 'RE'],
  ],
  ['falcon', ['It', "'", 's', ' ', '123', '45', ' FooBar', ' a', '.', 'b', '()', '\n\n', ' x', ' ', ' y', "'", 'RE']],
  [
    'qwen2 stablelm2',
    ['It', "'s", ' ', '1', '2', '3', '4', '5', ' FooBar', ' a', '.b', '()\n\n', ' x', ' ', ' y', "'RE"],
  ],
  ['llama-bpe dbrx glm4', ['It', "'s", ' ', '123', '45', ' FooBar', ' a', '.b', '()\n\n', ' x', ' ', ' y', "'RE"]],
  [
    'deepseek-llm',
    ['It', "'", 's', ' ', '12345', ' FooBar', ' a', '.', 'b', '()', '\n', '\n', ' x', ' ', ' y', "'", 'RE'],
  ],
  [
    'deepseek-coder',
    [
      'It',
      "'",
      's',
      ' ',
      '1',
      '2',
      '3',
      '4',
      '5',
      ' FooBar',
      ' a',
      '.',
      'b',
      '()',
      '\n',
      '\n',
      ' x',
      ' ',
      ' y',
      "'",
      'RE',
    ],
  ],
  ['bloom', ["It's", ' 12345', ' FooBar', ' a', '.', 'b', '()\n\n', ' x', ' ', " y'RE"]],
  ['tekken', ['It', "'s", ' ', '1', '2', '3', '4', '5', ' Foo', 'Bar', ' a', '.b', '()\n\n', ' x', ' ', ' y', "'RE"]],
  ['gpt-4o llama4', ["It's", ' ', '123', '45', ' Foo', 'Bar', ' a', '.b', '()\n\n', ' x', ' ', " y'RE"]],
])('%s', (names, words) => {
  for (const name of names.split(' ')) expect(split(TEXT, name)).toEqual(words);
});

test('deepseek-llm keeps CJK runs and wide punctuation apart', () => {
  expect(split('你好，世界 абв 12', 'deepseek-llm')).toEqual(['你好', '，', '世界', ' абв', ' ', '12']);
});

test('to tekken letters other than A to Z and a to z are both capital and small', () => {
  expect(split('aB aБ ÉA', 'tekken')).toEqual(['a', 'B', ' aБ', ' É', 'A']);
});

test('every named pre-tokenizer keeps all of the text', () => {
  expect(preTokenizerNames().length).toBeGreaterThan(50);
  for (const name of preTokenizerNames()) expect(split(TEXT, name).join('')).toBe(TEXT);
});

test('long runs take linear time', () => {
  for (const unit of ['a', 'A', 'Aa', ' ', '1', '!', "'", ' \n', '🙂', '你']) {
    for (const name of ['llama-bpe', 'default', 'tekken', 'deepseek-llm', 'bloom', 'falcon'])
      expect(split(unit.repeat(50_000), name).join('')).toHaveLength(50_000 * unit.length);
  }
});
