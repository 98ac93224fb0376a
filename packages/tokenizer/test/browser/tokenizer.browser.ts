import { expect, test } from 'vitest';
import { chatTemplate, detectTemplate, resolveTokenizer, tokenizerFromGguf } from '../../src/index.ts';
import cases from '../vectors/tokenizer_cases.json';
import prompts from '../vectors/storyteller-prompts.json';
import vocabulary from '../vectors/storyteller-vocabulary.json';
import tiny from '../vectors/tiny-vocabulary.json';

const metadataOf = ({ metadata, tokenTypeRuns }: typeof vocabulary | typeof tiny) =>
  new Map<string, unknown>(Object.entries(metadata)).set(
    'tokenizer.ggml.token_type',
    tokenTypeRuns.flatMap(([type, count]) => Array.from({ length: count! }, () => type)),
  );

test('the recorded ids of bitnet.cpp', () => {
  const tokenizer = tokenizerFromGguf(metadataOf(tiny));
  for (const [mode, parseSpecial] of [
    ['special', true],
    ['nospecial', false],
  ] as const) {
    const { ids } = cases.cases[`tiny/${mode}`];
    expect(cases.strings.map((text) => tokenizer.encode(text, { parseSpecial }))).toEqual(ids);
  }
  for (const text of cases.strings) {
    expect(tokenizer.decode(tokenizer.encode(text, { addBos: false }))).toBe(text);
  }
});

test('a resolved tokenizer, its digest and a chat', async () => {
  // The test server's root is the repository's.
  const storyteller: unknown = await (await fetch('/packages/storyteller/model/tokenizer.json')).json();
  const [json, gguf] = await Promise.all([
    resolveTokenizer({ beside: { name: 'tokenizer.json', json: storyteller } }),
    resolveTokenizer({ gguf: { name: 'model', metadata: metadataOf(vocabulary) } }),
  ]);
  expect(json.digest).toBe(gguf.digest);
  for (const { text, ids } of prompts) {
    for (const { tokenizer } of [json, gguf]) expect(tokenizer.encode(text, { parseSpecial: true })).toEqual(ids);
  }
  const { id } = detectTemplate(gguf.tokenizer, { architecture: 'bitnet-b1.58' });
  const chat = chatTemplate(id, gguf.tokenizer).encode([{ role: 'user', content: 'Hi<|eot_id|>' }]);
  expect(chat.text).toBe('User: Hi<|eot_id|><|eot_id|>Assistant: ');
  expect(chat.ids.filter((token) => token === 4095)).toHaveLength(1);
});

test('a hostile template is refused here too', () => {
  const source = '{% for i in range(60000) %}{% for j in range(60000) %}x{% endfor %}{% endfor %}';
  const tokenizer = tokenizerFromGguf(metadataOf(tiny));
  expect(() => chatTemplate('model', tokenizer, source).render([])).toThrow(
    expect.objectContaining({ code: 'TOKENIZER_TEMPLATE_LIMIT' }),
  );
});
