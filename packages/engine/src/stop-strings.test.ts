import { expect, test } from 'vitest';
import { StopStrings } from './stop-strings.ts';

function passed(strings: readonly string[], chunks: readonly string[]): { text: string; found: string | undefined } {
  const stop = new StopStrings(strings);
  const text = chunks.map((chunk) => stop.push(chunk)).join('') + stop.flush();
  return { text, found: stop.found };
}

test('the string and what follows do not pass', () => {
  expect(passed(['\n\nQ:'], ['Yes.\n', '\nQ', ': Why?', ' more'])).toEqual({ text: 'Yes.', found: '\n\nQ:' });
  expect(passed(['\n\nQ:'], ['\n\nQ:'])).toEqual({ text: '', found: '\n\nQ:' });
});

test('only what may still become one of them is held back', () => {
  const stop = new StopStrings(['\n\nQ:', '\n\nHuman:']);
  expect(['a\n', 'b', '\n\n', 'Hu', 'go', '\n\n\n', 'Q'].map((chunk) => stop.push(chunk))).toEqual([
    'a',
    '\nb',
    '',
    '',
    '\n\nHugo',
    '\n',
    '',
  ]);
  expect(stop.flush()).toBe('\n\nQ');
  expect(stop.flush()).toBe('');
});

test('without strings everything passes at once', () => {
  const stop = new StopStrings([]);
  expect([stop.push('a\n\nQ:'), stop.flush(), stop.found]).toEqual(['a\n\nQ:', '', undefined]);
});

test('however the text is cut: all texts of seven letters a and b, in all ways', () => {
  const length = 7;
  const sets = [['ab'], ['aab', 'ba'], ['abba', 'bb'], ['aaaa', 'b'], ['abab', 'bab'], ['abbbb', 'bbb', 'a']];
  let found = 0;
  const wrong: unknown[] = [];
  for (const strings of sets) {
    for (let letters = 0; letters < 2 ** length; letters++) {
      const text = Array.from({ length }, (_, place) => ((letters >> place) & 1 ? 'b' : 'a')).join('');
      const ends = strings.flatMap((string) => (text.includes(string) ? text.indexOf(string) + string.length : []));
      const end = Math.min(...ends);
      const longest = strings
        .filter((string) => text.slice(0, end).endsWith(string))
        .toSorted((a, b) => b.length - a.length)[0];
      const expected =
        longest === undefined || ends.length === 0
          ? { text, found: undefined }
          : { text: text.slice(0, end - longest.length), found: longest };
      if (expected.found !== undefined) found += 1;
      for (let cuts = 0; cuts < 2 ** (length - 1); cuts++) {
        const chunks = [''];
        for (const [place, letter] of [...text].entries()) {
          if (place > 0 && (cuts >> (place - 1)) & 1) chunks.push('');
          chunks[chunks.length - 1] += letter;
        }
        const actual = passed(strings, chunks);
        if (actual.text !== expected.text || actual.found !== expected.found) wrong.push({ strings, chunks, actual });
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(found).toBeGreaterThan(500);
});
