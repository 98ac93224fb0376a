import { expect, test } from 'vitest';
import { inSearchOrder, splitAtSpecialTokens } from './special-tokens.ts';

const tokens = inSearchOrder([
  { id: 1, text: 'ab' },
  { id: 2, text: 'bcd' },
  { id: 3, text: '<é>' },
  { id: 4, text: '<12>' },
]);

test('the longest is looked for first, in bytes; of equally long ones the lower id', () => {
  expect(tokens.map(({ id }) => id)).toEqual([3, 4, 2, 1]);
});

test.each<[text: string, fragments: (string | number)[]]>([
  ['', []],
  ['plain', ['plain']],
  ['ab', [1]],
  ['xabaab', ['x', 1, 'a', 1]],
  // the longer one wins although "ab" begins further left
  ['abcd', ['a', 2]],
  ['ab<é>ab', [1, 3, 1]],
  ['abcdab', ['a', 2, 1]],
])('%j', (text, fragments) => {
  expect(splitAtSpecialTokens(text, tokens)).toEqual(fragments);
});
