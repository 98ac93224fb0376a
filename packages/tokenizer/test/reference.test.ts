import { beforeAll, describe, expect, test } from 'vitest';
import { tokenizerFromGguf, type Tokenizer } from '../src/index.ts';
import { llama3Metadata, readVector, vectorMetadata } from './vocabularies.ts';

interface Case {
  readonly parse_special: boolean;
  readonly add_bos: boolean;
  readonly ids: readonly (readonly number[])[];
}

const { strings, cases } = readVector('tokenizer_cases.json') as { strings: string[]; cases: Record<string, Case> };

const VOCABULARIES: Record<string, () => Tokenizer> = {
  'llama3-vocab-none': () => tokenizerFromGguf(llama3Metadata()),
  'llama3-vocab-llama-bpe': () => tokenizerFromGguf(llama3Metadata('llama-bpe')),
  tiny: () => tokenizerFromGguf(vectorMetadata('tiny-vocabulary.json')),
};

test('the recordings are those that the tests below expect', () => {
  const expected = Object.keys(VOCABULARIES).flatMap((name) => [`${name}/special`, `${name}/nospecial`]);
  expect(Object.keys(cases).toSorted()).toEqual(expected.toSorted());
  expect(strings).toHaveLength(51);
});

for (const [name, load] of Object.entries(VOCABULARIES)) {
  describe(`llama_tokenize with ${name}`, () => {
    let tokenizer: Tokenizer;
    beforeAll(() => {
      tokenizer = load();
    });

    test.each(['special', 'nospecial'])('%s', (mode) => {
      const recorded = cases[`${name}/${mode}`]!;
      expect(recorded.ids).toHaveLength(strings.length);
      expect(tokenizer.addBos).toBe(recorded.add_bos);
      const ids = strings.map((text) => tokenizer.encode(text, { parseSpecial: recorded.parse_special }));
      expect(ids).toEqual(recorded.ids);
    });

    test('decoding gives the text back', () => {
      for (const parseSpecial of [false, true]) {
        for (const text of strings) {
          expect(tokenizer.decode(tokenizer.encode(text, { parseSpecial, addBos: false }))).toBe(text);
        }
      }
    });
  });
}

test('the prompts of the storyteller', () => {
  const tokenizer = tokenizerFromGguf(vectorMetadata('storyteller-vocabulary.json'));
  const prompts = readVector('storyteller-prompts.json') as { text: string; ids: number[] }[];
  expect(prompts).toHaveLength(6);
  for (const { text, ids } of prompts) {
    expect(tokenizer.encode(text, { parseSpecial: true })).toEqual(ids);
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(text.replace('<|eot_id|>', ''));
  }
  expect(tokenizer).toMatchObject({ vocabSize: 4096, bosId: 4093, eosId: 4094, paddingId: 4094, addBos: true });
  expect(tokenizer.eogIds).toEqual(new Set([4094, 4095]));
});

test('the official 2B4T file: LLaMA 3 without a pre-tokenizer name', () => {
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const tokenizer = tokenizerFromGguf(llama3Metadata(), { onWarning });
  expect(tokenizer).toMatchObject({ vocabSize: 128256, bosId: 128000, eosId: 128001, pre: 'default', addBos: true });
  expect(tokenizer.eogIds).toEqual(new Set([128001, 128009]));
  expect(warnings).toEqual([expect.stringContaining("pre: 'llama-bpe'")]);

  const overridden = tokenizerFromGguf(llama3Metadata(), { pre: 'llama-v3', onWarning });
  const index = cases['llama3-vocab-llama-bpe/special']!;
  expect(strings.map((text) => overridden.encode(text, { parseSpecial: true }))).toEqual(index.ids);
  expect(overridden.pre).toBe('llama-bpe');
});
