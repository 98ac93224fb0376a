import { expect, test } from 'vitest';
import { type Fragment, leftmostSplitter, longestFirstSplitter, type Splitter } from './special-tokens.ts';

const TOKENS = [
  { id: 1, text: 'ab' },
  { id: 2, text: 'bcd' },
  { id: 3, text: '<é>' },
  { id: 4, text: '<12>' },
];

/** Fragments as text, tokens as [id, text]. */
const brief = (fragments: Fragment[]) => fragments.map(({ id, text }) => (id === undefined ? text : [id, text]));

test.each<[text: string, llamaCpp: unknown[], huggingFace?: unknown[]]>([
  ['', []],
  ['plain', ['plain']],
  ['ab', [[1, 'ab']]],
  ['xabaab', ['x', [1, 'ab'], 'a', [1, 'ab']]],
  // to llama.cpp the longer one counts although "ab" begins further left
  ['abcd', ['a', [2, 'bcd']], [[1, 'ab'], 'cd']],
  [
    'ab<é>ab',
    [
      [1, 'ab'],
      [3, '<é>'],
      [1, 'ab'],
    ],
  ],
  ['abcdab', ['a', [2, 'bcd'], [1, 'ab']], [[1, 'ab'], 'cd', [1, 'ab']]],
])('%j', (text, llamaCpp, huggingFace = llamaCpp) => {
  expect(brief(longestFirstSplitter(TOKENS)(text))).toEqual(llamaCpp);
  expect(brief(leftmostSplitter(TOKENS)(text))).toEqual(huggingFace);
});

test('of two tokens at one place the longer counts, in any order of the list', () => {
  for (const tokens of [
    [
      { id: 1, text: 'a' },
      { id: 2, text: 'ab' },
    ],
    [
      { id: 2, text: 'ab' },
      { id: 1, text: 'a' },
    ],
  ]) {
    for (const splitter of [longestFirstSplitter, leftmostSplitter]) {
      expect(brief(splitter(tokens)('abab a'))).toEqual([[2, 'ab'], [2, 'ab'], ' ', [1, 'a']]);
    }
  }
});

test('lstrip and rstrip take the whitespace beside a token, but not that which another one has taken', () => {
  const tokens = [
    { id: 1, text: '<l>', lstrip: true },
    { id: 2, text: '<r>', rstrip: true },
  ];
  for (const split of [longestFirstSplitter(tokens), leftmostSplitter(tokens)] satisfies Splitter[]) {
    expect(brief(split('a \n<l> b <r>\t c'))).toEqual(['a', [1, ' \n<l>'], ' b ', [2, '<r>\t '], 'c']);
    expect(brief(split(' <l><r> '))).toEqual([
      [1, ' <l>'],
      [2, '<r> '],
    ]);
  }
  expect(brief(leftmostSplitter(tokens)('a<r>  <l>b'))).toEqual(['a', [2, '<r>  '], [1, '<l>'], 'b']);
});

test('a token that is a word of its own', () => {
  const split = leftmostSplitter([{ id: 1, text: 'it', singleWord: true }]);
  expect(brief(split('it bit it. its 𝒜it it'))).toEqual([[1, 'it'], ' bit ', [1, 'it'], '. its 𝒜it ', [1, 'it']]);
});

test('characters of regular expressions are ordinary ones', () => {
  expect(brief(leftmostSplitter([{ id: 1, text: '<|a.b|>' }])('<|a.b|><|axb|>'))).toEqual([[1, '<|a.b|>'], '<|axb|>']);
});
