import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tokenizerFromGguf, type TokenizerErrorCode } from '../src/index.ts';
import { byteToken, sentencePieceEncoder } from '../src/sentence-pieces.ts';

const BYTES = Array.from({ length: 256 }, (_, byte) => byteToken(byte));
const PIECES = ['▁', 'a', 'b', 'c', 'ab', 'bc', '▁a', 'abc', '▁ab', 'aa', 'aaa', '▁abc', '▁▁', '<mine>'];
const TOKENS = ['<unk>', '<s>', '</s>', ...BYTES, ...PIECES];
const TYPES = [2, 3, 3, ...BYTES.map(() => 6), ...PIECES.map((piece) => (piece === '<mine>' ? 4 : 1))];
/** Pieces that are longer score better, so that merging is worth it, but "bc" best of all. */
const SCORES = TOKENS.map((token) => (token === 'bc' ? 10 : token.length));

function spm(changes: Record<string, unknown> = {}) {
  const metadata: Record<string, unknown> = {
    model: 'llama',
    tokens: TOKENS,
    token_type: TYPES,
    scores: Float32Array.from(SCORES),
    ...changes,
  };
  return tokenizerFromGguf(
    new Map(Object.entries(metadata).map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const)),
  );
}
const tokenizer = spm();
const ids = (...tokens: string[]) => tokens.map((token) => TOKENS.indexOf(token));

describe('encoding', () => {
  test.each<[text: string, tokens: string[]]>([
    ['', ['<s>']],
    ['a', ['<s>', '▁a']],
    ['abc', ['<s>', '▁abc']],
    ['abcbc', ['<s>', '▁abc', 'bc']],
    [' a', ['<s>', '▁▁', 'a']],
    ['aaaaa', ['<s>', '▁a', 'aaa', 'a']],
    ['é', ['<s>', '▁', '<0xC3>', '<0xA9>']],
    ['a\n', ['<s>', '▁a', '<0x0A>']],
    ['<s>', ['<s>', '▁', '<0x3C>', '<0x73>', '<0x3E>']],
    // as llama.cpp has it, a space comes after each token that is found in the text
    ['a<mine>a', ['<s>', '▁a', '<mine>', '▁a']],
  ])('%j', (text, tokens) => {
    expect(tokenizer.encode(text)).toEqual(ids(...tokens));
  });

  test('special tokens are parsed if asked for', () => {
    expect(tokenizer.encode('a</s>', { parseSpecial: true })).toEqual(ids('<s>', '▁a', '</s>'));
  });

  test('without the space at the beginning', () => {
    const bare = spm({ add_space_prefix: false, add_bos_token: false });
    expect(bare.encode('a')).toEqual(ids('a'));
    expect(bare.decode(ids('▁a'))).toBe(' a');
  });

  test('BOS is added and the first tokens have their numbers unless the file says otherwise', () => {
    expect(tokenizer).toMatchObject({ bosId: 1, eosId: 2, addBos: true, addEos: false, model: 'llama' });
    expect(tokenizer.eogIds).toEqual(new Set([2]));
  });

  test('the queue joins what a search for the best pair joins', () => {
    const plainIds = new Map(TOKENS.map((token, id) => [token, id]));
    const letters = fc.string({ unit: fc.constantFrom('▁', 'a', 'b', 'c', 'é'), maxLength: 30 });
    const score = fc.constantFrom(0, 1, 2);
    fc.assert(
      fc.property(letters, fc.array(score, { minLength: TOKENS.length, maxLength: TOKENS.length }), (text, scores) => {
        const queued: number[] = [];
        sentencePieceEncoder(plainIds, Float32Array.from(scores), 0)(text, queued);
        expect(queued).toEqual(searched(text, scores));
      }),
    );
  });
});

/** The same by the definition: join the best pair, the leftmost on ties, until none is a token. */
function searched(text: string, scores: readonly number[]): number[] {
  const pieces = [...text];
  for (;;) {
    let best = -1;
    for (let index = 0; index + 1 < pieces.length; index++) {
      const id = TOKENS.indexOf(pieces[index]! + pieces[index + 1]!);
      const bestId = best < 0 ? -1 : TOKENS.indexOf(pieces[best]! + pieces[best + 1]!);
      if (id >= 0 && (best < 0 || scores[id]! > scores[bestId]!)) best = index;
    }
    if (best < 0) break;
    pieces.splice(best, 2, pieces[best]! + pieces[best + 1]!);
  }
  return pieces.flatMap((piece) =>
    TOKENS.includes(piece) ? ids(piece) : ids(...Array.from(new TextEncoder().encode(piece), byteToken)),
  );
}

describe('decoding', () => {
  test('gives the text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const encoded = tokenizer.encode(text);
        expect(tokenizer.decode(encoded, { skipSpecial: true })).toBe(text);
        const stream = tokenizer.decodeStream({ skipSpecial: true });
        expect(encoded.map((id) => stream.push(id)).join('') + stream.flush()).toBe(text);
      }),
    );
  });

  test('one space goes, and only at the beginning', () => {
    expect(tokenizer.decode(ids('<s>', '▁▁', '▁a', '▁a'))).toBe('<s>  a a');
    expect(tokenizer.decode(ids('▁a', '<mine>', '▁a'))).toBe('a<mine> a');
    expect(tokenizer.piece(ids('▁a')[0]!)).toBe(' a');
  });

  test('offsets leave out the space that is not in the text', () => {
    expect(tokenizer.encodeWithOffsets('abc é')).toMatchObject({
      pieces: ['<s>', ' abc', ' ', '<0xC3>', '<0xA9>'],
      offsets: [
        [0, 0],
        [0, 3],
        [3, 4],
        [4, 5],
        [5, 6],
      ],
    });
  });
});

test('200,000 equal letters take n log n steps', () => {
  expect(tokenizer.encode('a'.repeat(200_000)).length).toBeGreaterThan(60_000);
});

test.each<[what: string, changes: Record<string, unknown>, code: TokenizerErrorCode, message: RegExp]>([
  ['no scores', { scores: undefined }, 'TOKENIZER_MISSING_KEY', /scores/],
  ['fewer scores', { scores: [1] }, 'TOKENIZER_BAD_VALUE', /1 entries/],
  ['a NaN score', { scores: SCORES.with(5, NaN) }, 'TOKENIZER_BAD_VALUE', /NaN for token 5/],
  ['a prefix rule that is no boolean', { add_space_prefix: 1 }, 'TOKENIZER_BAD_VALUE', /add_space_prefix/],
])('%s', (_, changes, code, message) => {
  expect(() => spm(changes)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});
