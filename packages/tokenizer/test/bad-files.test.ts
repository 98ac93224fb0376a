import { expect, test } from 'vitest';
import { TokenizerError, tokenizerFromGguf, type TokenizerErrorCode } from '../src/index.ts';
import { smallMetadata } from './vocabularies.ts';

const tokens = smallMetadata().get('tokenizer.ggml.tokens') as string[];
const types = smallMetadata().get('tokenizer.ggml.token_type') as number[];

test.each<[what: string, changes: Record<string, unknown>, code: TokenizerErrorCode, message: RegExp]>([
  ['no tokenizer', { model: undefined }, 'TOKENIZER_MISSING_KEY', /tokenizer\.ggml\.model/],
  ['another tokenizer model', { model: 'bert' }, 'TOKENIZER_UNKNOWN_MODEL', /"bert".*Known: gpt2 .*, llama/],
  ['a model that is no string', { model: 1 }, 'TOKENIZER_UNKNOWN_MODEL', /model 1/],
  [
    'another pre-tokenizer',
    { pre: 'kimi-k2' },
    'TOKENIZER_UNKNOWN_PRE',
    /"kimi-k2".*Known: llama-bpe, .*default, gpt-2.*qwen2/,
  ],
  ['a pre-tokenizer that is no string', { pre: 5 }, 'TOKENIZER_BAD_VALUE', /pre" is 5/],
  ['a pre-tokenizer of JavaScript', { pre: '__proto__' }, 'TOKENIZER_UNKNOWN_PRE', /__proto__/],
  ['no tokens', { tokens: undefined }, 'TOKENIZER_MISSING_KEY', /tokens/],
  ['an empty vocabulary', { tokens: [] }, 'TOKENIZER_BAD_VALUE', /has no tokens/],
  ['tokens that are no array', { tokens: 'abc' }, 'TOKENIZER_BAD_VALUE', /"abc", not an array/],
  ['tokens that are bytes', { tokens: new Uint8Array(3) }, 'TOKENIZER_BAD_VALUE', /an object, not an array/],
  ['a token that is no string', { tokens: tokens.with(3, 5 as never) }, 'TOKENIZER_BAD_VALUE', /5 at index 3/],
  ['a token with half a character', { tokens: tokens.with(3, '\uD83D') }, 'TOKENIZER_BAD_VALUE', /index 3/],
  ['two equal tokens', { tokens: tokens.with(3, '<s>') }, 'TOKENIZER_DUPLICATE_TOKEN', /3 and 259 .*"<s>"/],
  ['fewer types than tokens', { token_type: types.slice(1) }, 'TOKENIZER_BAD_VALUE', /264 entries for 265 tokens/],
  ['more types than tokens', { token_type: [...types, 1] }, 'TOKENIZER_BAD_VALUE', /266 entries for 265 tokens/],
  ['an unknown type', { token_type: types.with(4, 7) }, 'TOKENIZER_BAD_VALUE', /type 7 for token 4/],
  [
    'a type that is no integer',
    { token_type: Float32Array.from(types.with(4, 1.5)) },
    'TOKENIZER_BAD_VALUE',
    /type 1\.5/,
  ],
  ['a NaN type', { token_type: types.with(4, NaN) }, 'TOKENIZER_BAD_VALUE', /type NaN/],
  ['types that are no array', { token_type: 1 }, 'TOKENIZER_BAD_VALUE', /not an array/],
  ['no merges', { merges: undefined }, 'TOKENIZER_MISSING_KEY', /merges/],
  ['a merge without a space', { merges: ['ab'] }, 'TOKENIZER_BAD_MERGE', /"ab"/],
  ['a merge without a left half', { merges: [' b'] }, 'TOKENIZER_BAD_MERGE', /" b"/],
  ['a merge without a right half', { merges: ['a '] }, 'TOKENIZER_BAD_MERGE', /"a "/],
  ['an empty merge', { merges: [''] }, 'TOKENIZER_BAD_MERGE', /""/],
  ['a merge that is no string', { merges: [['a', 'b']] }, 'TOKENIZER_BAD_VALUE', /an array at index 0/],
  ['a BOS outside the vocabulary', { bos_token_id: 265 }, 'TOKENIZER_BAD_VALUE', /265, not a token id \(0 to 264\)/],
  ['a negative EOS', { eos_token_id: -1 }, 'TOKENIZER_BAD_VALUE', /eos_token_id/],
  ['a padding id that is no number', { padding_token_id: '1' }, 'TOKENIZER_BAD_VALUE', /padding_token_id/],
  ['an EOT outside the vocabulary', { eot_token_id: 2 ** 40 }, 'TOKENIZER_BAD_VALUE', /eot_token_id/],
  ['add_bos_token that is a number', { add_bos_token: 1 }, 'TOKENIZER_BAD_VALUE', /add_bos_token/],
  ['BOS to add, but none named', { bos_token_id: undefined }, 'TOKENIZER_MISSING_KEY', /bos_token_id/],
  [
    'EOS to add, but none named',
    { add_eos_token: true, eos_token_id: undefined },
    'TOKENIZER_MISSING_KEY',
    /eos_token/,
  ],
])('%s', (_, changes, code, message) => {
  const load = () => tokenizerFromGguf(smallMetadata(changes));
  expect(load).toThrow(TokenizerError);
  expect(load).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});

test('the option `pre` is checked like the key', () => {
  expect(() => tokenizerFromGguf(smallMetadata(), { pre: '' })).toThrow(
    expect.objectContaining({ code: 'TOKENIZER_UNKNOWN_PRE' }),
  );
});

test('what bitnet.cpp puts up with gives a warning', () => {
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  tokenizerFromGguf(smallMetadata({ pre: '' }), { onWarning });
  tokenizerFromGguf(smallMetadata({ tokens: tokens.with(3, '') }), { onWarning });
  tokenizerFromGguf(smallMetadata({ token_type: types.with(261, 4) }), { onWarning });
  expect(warnings).toEqual([
    expect.stringContaining("pre: 'llama-bpe'"),
    expect.stringContaining('[EMPTY_3]'),
    expect.stringMatching(/^1 of the 256 bytes have no token/),
    expect.stringContaining('"<|eot_id|>" ends a generation but has type 4'),
  ]);
});
