import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { LETTER, NUMBER, PUNCTUATION, WHITESPACE } from './unicode.ts';

/**
 * SHA-256 of one byte for each code point: 4 whitespace, 1 letter, 2 number, 3 punctuation, 0 other; surrogates 0.
 * Computed from unicode_ranges_flags and unicode_set_whitespace of Eddie-Wang1120/llama.cpp 406a503,
 * src/unicode-data.cpp.
 */
const REFERENCE_CLASSES_SHA256 = 'da9b63359da18436e72cd6c9216620f91caf189fb7ea8f1a9843577b0f32c210';

test('every code point is in the class that the reference puts it in', () => {
  const regexes = [LETTER, NUMBER, PUNCTUATION, WHITESPACE].map((source) => new RegExp(`^${source}$`, 'v'));
  const classes = new Uint8Array(0x110000);
  for (let codePoint = 0; codePoint < classes.length; codePoint++) {
    const character = String.fromCodePoint(codePoint);
    classes[codePoint] = 1 + regexes.findIndex((regex) => regex.test(character));
  }
  expect(createHash('sha256').update(classes).digest('hex')).toBe(REFERENCE_CLASSES_SHA256);
});
