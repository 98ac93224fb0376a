import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readTokenizerBeside, readTokenizerFiles } from '../src/node.ts';
import { resolveTokenizer, type TokenizerSources } from '../src/index.ts';
import { llama3Metadata, smallMetadata, storytellerText, vectorMetadata } from './vocabularies.ts';

const model = fileURLToPath(new URL('../../storyteller/model/storyteller.i2_s.gguf', import.meta.url));
const gguf = { name: 'model.gguf', metadata: vectorMetadata('storyteller-vocabulary.json') };
const bare = { name: 'bare.gguf', metadata: new Map<string, unknown>() };
const beside = { name: 'tokenizer.json', json: storytellerText() };
const explicit = { name: 'my.json', json: JSON.parse(storytellerText()) as unknown };

test.each<[sources: TokenizerSources, source: string, name: string, reason: string]>([
  [{ explicit, gguf, beside }, 'explicit', 'my.json', 'chosen by the user'],
  [
    { explicit: { name: 'other.gguf', metadata: smallMetadata() }, gguf },
    'explicit',
    'other.gguf',
    'chosen by the user',
  ],
  [{ gguf, beside }, 'gguf', 'model.gguf', "the model file's own, before tokenizer.json"],
  [{ gguf }, 'gguf', 'model.gguf', "the model file's own"],
  [{ gguf: bare, beside }, 'beside', 'tokenizer.json', 'beside the model, whose file has no tokenizer'],
  [{ beside }, 'beside', 'tokenizer.json', 'beside the model'],
])('explicit, then the GGUF file, then beside it', async (sources, source, name, reason) => {
  const resolved = await resolveTokenizer(sources);
  expect(resolved).toMatchObject({ source, name, reason });
  expect(resolved.digest).toBe(await resolved.tokenizer.digest());
});

describe('nothing is guessed', () => {
  test('no tokenizer at all', async () => {
    await expect(resolveTokenizer({ gguf: bare })).rejects.toThrow(
      expect.objectContaining({ code: 'TOKENIZER_NOT_FOUND', message: expect.stringContaining('bare.gguf has none') }),
    );
    await expect(resolveTokenizer({})).rejects.toThrow(/no model file/);
  });

  test('an unusable one is an error, even where another is beside it', async () => {
    const unknown = { name: 'm', metadata: smallMetadata({ pre: 'kimi-k2' }) };
    await expect(resolveTokenizer({ gguf: unknown, beside })).rejects.toThrow(/"kimi-k2".*Known: llama-bpe/);
    await expect(resolveTokenizer({ explicit: { name: 'x.json', json: '{' }, gguf })).rejects.toThrow(
      expect.objectContaining({ code: 'TOKENIZER_BAD_JSON', message: expect.stringMatching(/^x\.json is not JSON/) }),
    );
  });

  test('`pre` is for GGUF files', async () => {
    await expect(resolveTokenizer({ explicit }, { pre: 'default' })).rejects.toThrow(TypeError);
  });
});

test('a missing pre-tokenizer name gives `default` and a warning that tells of the option', async () => {
  const official = { name: 'm', metadata: llama3Metadata() };
  const heard: string[] = [];
  const { tokenizer, warnings, digest } = await resolveTokenizer(
    { gguf: official },
    { onWarning: (message) => heard.push(message) },
  );
  expect(tokenizer.pre).toBe('default');
  expect(warnings).toEqual([expect.stringContaining("pre: 'llama-bpe'")]);
  tokenizer.encode('<|begin_of_text|>', { parseSpecial: true });
  expect(warnings).toHaveLength(1);
  expect(heard).toHaveLength(2);
  const chosen = await resolveTokenizer({ gguf: official }, { pre: 'llama-bpe' });
  expect(chosen.warnings).toEqual([]);
  expect(chosen.digest).not.toBe(digest);
});

test('the template comes from where the tokenizer comes from, else from the model', async () => {
  const metadata = vectorMetadata('storyteller-vocabulary.json').set('tokenizer.chat_template', 'of the model');
  const withTemplate = { name: 'm', metadata };
  const config = { bos_token: '<|begin_of_text|>', eos_token: '<|end_of_text|>' };
  const templateOf = async (sources: TokenizerSources) => (await resolveTokenizer(sources)).chatTemplate;
  expect(await templateOf({ gguf: withTemplate, beside })).toBe('of the model');
  expect(await templateOf({ explicit, gguf: withTemplate })).toBe('of the model');
  expect(await templateOf({ explicit: { ...explicit, chatTemplate: 'jinja' }, gguf: withTemplate })).toBe('jinja');
  const inConfig = (chat_template: unknown) => ({ ...explicit, config: JSON.stringify({ ...config, chat_template }) });
  expect(await templateOf({ explicit: inConfig('one') })).toBe('one');
  const several = [
    { name: 'tool_use', template: 'tools' },
    { name: 'default', template: 'two' },
  ];
  expect(await templateOf({ explicit: inConfig(several) })).toBe('two');
  expect(await templateOf({ beside })).toBeUndefined();
});

test('files of a folder', async () => {
  const found = await readTokenizerBeside(model);
  expect(found?.name.endsWith('tokenizer.json')).toBe(true);
  const resolved = await resolveTokenizer({ beside: found! });
  expect(resolved.tokenizer).toMatchObject({ bosId: 4093, eosId: 4094, paddingId: 4094 });
  expect(resolved.digest).toBe((await resolveTokenizer({ gguf })).digest);
  expect(await readTokenizerBeside(fileURLToPath(import.meta.url))).toBeUndefined();
  await expect(readTokenizerFiles('/nowhere/tokenizer.json')).rejects.toThrow(/ENOENT/);
});
