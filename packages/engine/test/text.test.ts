import { sourceFromBytes } from '@bittern/gguf-parser';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadTextModel, templateOf, type TextModel } from '../src/text.ts';
import { RECORDED, tinyBytes } from './fixtures.ts';
import { readBytes } from './parity.ts';
import { rename } from './patch.ts';

// Text in and out, with the model of the repository and the tokenizer in its file.

const bytes = readBytes(RECORDED.find(({ name }) => name === 'storyteller')!.model);

let model: TextModel;

beforeAll(async () => {
  model = await loadTextModel(sourceFromBytes(bytes));
});
afterAll(() => model.dispose());

interface Told {
  readonly ids: readonly number[];
  readonly texts: readonly string[];
  readonly end: string | undefined;
  readonly stop: string | undefined;
}

async function tell(prompt: string, seed: number, stop: readonly string[], maxTokens = 24): Promise<Told> {
  using session = model.createSession({ contextLength: 128 });
  const ids: number[] = [];
  const texts: string[] = [];
  let last: { end?: string; stop?: string } = {};
  const options = { seed, temperature: 1.5, topK: 0, maxTokens, stop, stopIds: new Set<number>() };
  for await (const piece of session.generate(prompt, options)) {
    ids.push(piece.id);
    texts.push(piece.text);
    last = piece;
  }
  return { ids, texts, end: last.end, stop: last.stop };
}

test('a prompt of text is encoded by the file, and the answer is the text of its ids', async () => {
  const prompt = 'Once upon a time';
  const { ids, texts } = await tell(prompt, 7, []);
  using session = model.createSession();
  for await (const _ of session.generate(prompt, { maxTokens: 1 })) continue;
  expect(session.ids()).toEqual(model.tokenizer.encode(prompt));
  expect(texts.join('')).toBe(model.tokenizer.decode(ids, { skipSpecial: true }));
});

describe('stop strings', () => {
  /** The text that is certain when `text` is what came so far: nothing at its end may still become a stop string. */
  function certain(text: string, stops: readonly string[]): string {
    for (let start = 0; start < text.length; start++) {
      if (stops.some((stop) => stop.startsWith(text.slice(start)) && stop.length > text.length - start)) {
        return text.slice(0, start);
      }
    }
    return text;
  }

  test('never leak, and hold back only what may still become one', { timeout: 60_000 }, async () => {
    let stopped = 0;
    let heldBack = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1000),
        fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 9 }), fc.boolean()), { minLength: 1, maxLength: 3 }),
        async (seed, cuts) => {
          const plain = await tell('Once', seed, []);
          const whole = plain.texts.join('');
          // Strings of the text itself, and such as only begin like it
          const stops = cuts
            .map(([at, length, spoilt]) => whole.slice(at, at + length) + (spoilt ? '\u0007' : ''))
            .filter((stop) => stop !== '');
          fc.pre(stops.length > 0);
          const { ids, texts, end, stop } = await tell('Once', seed, stops);
          expect(ids).toEqual(plain.ids.slice(0, ids.length));
          // After each piece but the last
          const upTo = (all: readonly string[], count: number): string => all.slice(0, count).join('');
          const shown = texts.slice(1).map((_, index) => upTo(texts, index + 1));
          const came = texts.slice(1).map((_, index) => upTo(plain.texts, index + 1));
          expect(shown).toEqual(came.map((text) => certain(text, stops)));
          heldBack += shown.filter((text, index) => text.length < came[index]!.length).length;
          // In the end: the text before the one that is complete first
          const found = stops.filter((string) => whole.includes(string));
          const firstEnd = Math.min(...found.map((string) => whole.indexOf(string) + string.length));
          stopped += Math.min(1, found.length);
          expect([end, found.includes(stop!)]).toEqual(found.length > 0 ? ['stop-string', true] : ['count', false]);
          expect(texts.join('')).toBe(found.length > 0 ? whole.slice(0, firstEnd - stop!.length) : whole);
          expect(stops.filter((string) => texts.join('').includes(string))).toEqual([]);
        },
      ),
      { numRuns: 60, interruptAfterTimeLimit: 40_000, markInterruptAsFailure: true },
    );
    expect(stopped).toBeGreaterThan(10);
    expect(heldBack).toBeGreaterThan(10);
  });
});

test('the template that fits the file, and one that was asked for', async () => {
  const messages = [{ role: 'user', content: 'Hi<|eot_id|>' }];
  expect(templateOf(model).encode(messages).text).toBe('User: Hi<|eot_id|><|eot_id|>Assistant: ');
  expect(templateOf(model, 'instruct').encode(messages).text).toContain('Q: Hi');
});

test('another tokenizer in place of the own', async () => {
  const { tokenizer } = model;
  using own = await loadTextModel(tinyBytes(), { tokenizer });
  expect(own.tokenizer).toBe(tokenizer);
});

test('a file without a tokenizer is refused', async () => {
  const without = rename(bytes, 'tokenizer.ggml.model', 'tokenizer.ggml.mxdel');
  await expect(loadTextModel(without)).rejects.toMatchObject({ name: 'TokenizerError' });
});
