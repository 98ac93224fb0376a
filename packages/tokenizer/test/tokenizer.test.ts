import { describe, expect, test } from 'vitest';
import { tokenizerFromGguf } from '../src/index.ts';
import { SMALL, smallMetadata } from './vocabularies.ts';

const tokenizer = tokenizerFromGguf(smallMetadata());
const plain = { addBos: false };
const rule = (changes: Record<string, unknown>) => tokenizerFromGguf(smallMetadata(changes));
/** Ids of single bytes; the small vocabulary lists them in GPT-2's order: printable ones first. */
const bytes = (text: string) => [...text].flatMap((character) => tokenizer.encode(character, plain));

describe('special tokens', () => {
  test('control and unknown tokens in text are text unless asked for', () => {
    expect(tokenizer.encode('<s><unk>', plain)).toEqual(bytes('<s><unk>'));
    expect(tokenizer.encode('<s><unk>', { parseSpecial: true })).toEqual([SMALL.bos, SMALL.bos, SMALL.unknown]);
  });

  test('user-defined tokens are found in either case', () => {
    for (const parseSpecial of [false, true]) {
      expect(tokenizer.encode('a<mine>b', { parseSpecial })).toEqual([
        SMALL.bos,
        ...bytes('a'),
        SMALL.mine,
        ...bytes('b'),
      ]);
    }
  });

  test('a control token is no way around the merges', () => {
    // With ignore_merges the word as a whole is looked up, and here it would be the control token.
    const types = smallMetadata().get('tokenizer.ggml.token_type') as number[];
    const named = tokenizerFromGguf(smallMetadata({ token_type: types.with(SMALL.abc, 3) }));
    expect(named.encode('abc', plain)).toEqual(bytes('abc'));
    expect(named.encode('abc', { ...plain, parseSpecial: true })).toEqual([SMALL.abc]);
  });

  test('a token "__proto__" is one like any other', () => {
    const tokens = (smallMetadata().get('tokenizer.ggml.tokens') as string[]).with(SMALL.mine, '__proto__');
    const odd = tokenizerFromGguf(smallMetadata({ tokens }));
    expect(odd.encode('x__proto__toString', plain)).toEqual([...bytes('x'), SMALL.mine, ...bytes('toString')]);
    expect(odd.piece(SMALL.mine)).toBe('__proto__');
    const normal = tokenizerFromGguf(smallMetadata({ tokens, token_type: undefined, pre: 'default' }));
    expect(normal.encode('__proto__constructor', plain)).toEqual(bytes('__proto__constructor'));
  });
});

describe('merges', () => {
  test('the best rank goes first, the leftmost on ties', () => {
    const byMerges = tokenizerFromGguf(smallMetadata({ pre: 'default', add_bos_token: false }));
    expect(byMerges.encode('abc')).toEqual([SMALL.abc]);
    expect(byMerges.encode('abab')).toEqual([SMALL.ab, SMALL.ab]);
    const leftFirst = tokenizerFromGguf(
      smallMetadata({ pre: 'default', add_bos_token: false, merges: ['a b', 'b c'] }),
    );
    expect(leftFirst.encode('abc')).toEqual([SMALL.ab, ...bytes('c')]);
  });

  test('of equal merges the first counts', () => {
    const merges = ['a b', 'b c', 'a b'];
    const repeated = tokenizerFromGguf(smallMetadata({ pre: 'default', add_bos_token: false, merges }));
    expect(repeated.encode('abc')).toEqual([SMALL.ab, ...bytes('c')]);
  });

  test('llama-bpe takes a whole word that is a token, default does not', () => {
    expect(tokenizerFromGguf(smallMetadata({ merges: [] })).encode('abc', plain)).toEqual([SMALL.abc]);
    expect(tokenizerFromGguf(smallMetadata({ merges: [], pre: 'default' })).encode('abc', plain)).toEqual(bytes('abc'));
  });

  test('a piece that is no token becomes its ASCII characters, with a warning', () => {
    const warnings: string[] = [];
    const options = { onWarning: (message: string) => warnings.push(message) };
    const odd = tokenizerFromGguf(smallMetadata({ merges: ['x y', 'Ġ x'] }), options);
    expect(odd.encode('xy x', plain)).toEqual(bytes('xyx'));
    expect(warnings).toEqual([expect.stringMatching(/^2 merges make .*"x y"/)]);
  });
});

describe('BOS and EOS', () => {
  test("the file's key, else the pre-tokenizer's rule", () => {
    expect(rule({}).addBos).toBe(true);
    expect(rule({ pre: 'default' }).addBos).toBe(false);
    expect(rule({ add_bos_token: false }).addBos).toBe(false);
    expect(rule({ pre: 'default', add_bos_token: true }).encode('')).toEqual([SMALL.bos]);
  });

  test('options decide over both', () => {
    expect(tokenizer.encode('a', { addBos: false })).toEqual(bytes('a'));
    expect(rule({ pre: 'default' }).encode('', { addBos: true })).toEqual([SMALL.bos]);
    expect(rule({ add_eos_token: true }).encode('')).toEqual([SMALL.bos, SMALL.eos]);
    expect(rule({ add_eos_token: true }).encode('', { addEos: false })).toEqual([SMALL.bos]);
    const nameless = rule({ bos_token_id: undefined, add_bos_token: false });
    expect(() => nameless.encode('', { addBos: true })).toThrow(RangeError);
  });

  test('a second BOS in the text stays, with a warning', () => {
    const warnings: string[] = [];
    const warned = tokenizerFromGguf(smallMetadata(), { onWarning: (message) => warnings.push(message) });
    expect(warned.encode('<s>', { parseSpecial: true })).toEqual([SMALL.bos, SMALL.bos]);
    expect(warnings).toEqual([expect.stringContaining('BOS')]);
  });

  test('a generation ends with EOS, EOT or a token that says so', () => {
    expect(tokenizer.eogIds).toEqual(new Set([SMALL.eos, SMALL.eot]));
    expect(rule({ eot_token_id: 256, eom_token_id: 257 }).eogIds).toEqual(new Set([SMALL.eos, SMALL.eot, 256, 257]));
    const types = smallMetadata().get('tokenizer.ggml.token_type') as number[];
    const mistyped = rule({ token_type: types.with(SMALL.eot, 1), eos_token_id: undefined });
    expect(mistyped.eogIds).toEqual(new Set([SMALL.eot]));
    expect(mistyped.decode([SMALL.eot], { skipSpecial: true })).toBe('');
  });
});

describe('decoding', () => {
  test('bytes of one character come together; what is cut off is U+FFFD', () => {
    const [first, second, third, fourth] = bytes('🙂') as [number, number, number, number];
    const stream = tokenizer.decodeStream();
    expect([first, second, third, fourth].map((id) => stream.push(id))).toEqual(['', '', '', '🙂']);
    expect([first, second].map((id) => stream.push(id))).toEqual(['', '']);
    expect(stream.flush()).toBe('\uFFFD');
    expect(stream.push(fourth)).toBe('\uFFFD');
    expect(stream.push(first) + stream.push(SMALL.mine)).toBe('\uFFFD<mine>');
    expect(stream.flush()).toBe('');
  });

  test('spaces, a byte order mark and NUL stay', () => {
    for (const text of [' a , b . ', '\uFEFFx', '\0', '']) {
      expect(tokenizer.decode(tokenizer.encode(text, plain))).toBe(text);
    }
  });

  test('special tokens are spelled out or left out, unused ones have no text', () => {
    const ids = [SMALL.bos, SMALL.ab, SMALL.unknown, SMALL.mine, SMALL.unused, SMALL.eos];
    expect(tokenizer.decode(ids)).toBe('<s>ab<unk><mine></s>');
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe('ab<mine>');
  });

  test('a piece is readable', () => {
    const [space] = bytes(' ');
    const [half] = bytes('é');
    expect([space!, half!, SMALL.abc, SMALL.eot, SMALL.unused].map((id) => tokenizer.piece(id))).toEqual([
      ' ',
      'Ã',
      'abc',
      '<|eot_id|>',
      '<unused>',
    ]);
  });

  test.each([-1, 265, 1.5, NaN])('id %s is an error', (id) => {
    expect(() => tokenizer.decode([id])).toThrow(RangeError);
    expect(() => tokenizer.piece(id)).toThrow(RangeError);
    expect(() => tokenizer.decodeStream().push(id)).toThrow(RangeError);
  });
});

test('a lone surrogate counts as U+FFFD', () => {
  expect(tokenizer.encode('a\uD800b')).toEqual(tokenizer.encode('a\uFFFDb'));
});

test('a misspelt option is an error', () => {
  const misspelt = { parseSpecials: true } as object;
  expect(() => tokenizer.encode('', misspelt)).toThrow(/parseSpecials/);
  expect(() => tokenizer.decode([], misspelt)).toThrow(TypeError);
  expect(() => tokenizerFromGguf(smallMetadata(), misspelt)).toThrow(TypeError);
});

test('in Phi-3 files control tokens take the whitespace after them, as in llama.cpp', () => {
  const phi3 = tokenizerFromGguf(smallMetadata().set('general.name', 'Phi-3 mini'));
  const options = { addBos: false, parseSpecial: true };
  expect(phi3.encode('</s> \n ab', options)).toEqual([SMALL.eos, SMALL.ab]);
  expect(phi3.encodeWithOffsets('</s> \n ab', options).offsets).toEqual([
    [0, 7],
    [7, 9],
  ]);
  expect(phi3.encode('<s> ab', options)).toEqual([SMALL.bos, ...bytes(' '), SMALL.ab]);
});
