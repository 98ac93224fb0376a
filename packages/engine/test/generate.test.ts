import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { argmax, type CompletionOptions, loadModel, type Model, type Piece, type TextCodec } from '../src/index.ts';
import { tinyBytes } from './fixtures.ts';
import { digest } from './parity.ts';
import { f32, setData } from './patch.ts';

// `session.generate`: its options, its ends, and what may happen meanwhile.

const PROMPT = [502, 311, 480, 305, 454, 269];

/** Ids as the letters from a on, and a vocabulary's end as the only id that ends a text. */
const LETTERS: TextCodec = {
  eogIds: new Set([511]),
  encode: (text) => Array.from(text, (character) => character.codePointAt(0)!),
  decodeStream: () => ({ push: (id) => String.fromCodePoint(97 + (id % 26)), flush: () => '' }),
};

let model: Model;

beforeAll(async () => {
  model = await loadModel(tinyBytes(), { tokenizer: LETTERS });
});
afterAll(() => model.dispose());

async function pieces(options: CompletionOptions, prompt: string | number[] = PROMPT, contextLength = 64) {
  using session = model.createSession({ contextLength });
  const all: Piece[] = [];
  for await (const piece of session.generate(prompt, { maxTokens: 12, ...options })) all.push(piece);
  return all;
}

const idsOf = (all: readonly Piece[]): number[] => all.map(({ id }) => id);
const textOf = (all: readonly Piece[]): string => all.map(({ text }) => text).join('');

describe('ends', () => {
  test('maxTokens, with the last piece', async () => {
    const all = await pieces({});
    expect(all.map(({ end }) => end)).toEqual([...Array<undefined>(11), 'count']);
    expect(await pieces({ maxTokens: 0 })).toEqual([]);
  });

  test('a full context', async () => {
    const all = await pieces({ maxTokens: 100 }, PROMPT, 10);
    expect(all).toHaveLength(5); // 4 that fit, and one more chosen from the last row
    expect(all.at(-1)!.end).toBe('context');
    expect((await pieces({ maxTokens: Infinity }, PROMPT, 10)).at(-1)!.end).toBe('context');
  });

  test('a stop id, which is the last', async () => {
    const ids = idsOf(await pieces({}));
    const stopped = await pieces({ stopIds: new Set([ids[4]!]) });
    expect(idsOf(stopped)).toEqual(ids.slice(0, ids.indexOf(ids[4]!) + 1));
    expect(stopped.at(-1)!.end).toBe('stop-id');
  });

  test("the tokenizer's own end of text, unless told otherwise", async () => {
    const ids = idsOf(await pieces({}));
    using own = await loadModel(tinyBytes(), { tokenizer: { ...LETTERS, eogIds: new Set([ids[3]!]) } });
    const until = async (options: CompletionOptions): Promise<number[]> => {
      const all: number[] = [];
      for await (const { id } of own.createSession().generate(PROMPT, { maxTokens: 12, ...options })) all.push(id);
      return all;
    };
    expect(await until({})).toEqual(ids.slice(0, ids.indexOf(ids[3]!) + 1));
    expect(await until({ stopIds: new Set() })).toEqual(ids);
  });

  test('a stop string, of which nothing is in the text', async () => {
    const text = textOf(await pieces({}));
    const stop = text.slice(4, 7);
    const at = text.indexOf(stop);
    const stopped = await pieces({ stop: ['not there', stop] });
    expect(textOf(stopped)).toBe(text.slice(0, at));
    expect(stopped.at(-1)).toMatchObject({ end: 'stop-string', stop });
    expect(stopped).toHaveLength(at + 3);
    for (const { text: shown } of stopped) expect(shown.length).toBeLessThanOrEqual(3);
  });

  test('text that is held back comes when the generation ends otherwise', async () => {
    const text = textOf(await pieces({}));
    const all = await pieces({ stop: [`${text.slice(-2)}!`] });
    expect(all.at(-1)!.end).toBe('count');
    expect(textOf(all)).toBe(text);
  });

  test('a shift goes on as the shorter prompt would', async () => {
    const all = await pieces({ maxTokens: 40, shift: { keep: 2 } }, PROMPT, 16);
    expect(all).toHaveLength(40);
    // The first shift: 16 tokens in the cache and one chosen; 2 of the first stay and the newer 7 of the others.
    const ids = [...PROMPT, ...idsOf(all)];
    const kept = [...ids.slice(0, 2), ...ids.slice(10, 17)];
    const next = await pieces({ maxTokens: 7 }, kept, 64);
    expect(idsOf(next)).toEqual(ids.slice(17, 24));
    expect(idsOf(all.slice(0, 11))).toEqual(idsOf(await pieces({ maxTokens: 11 })));
  });

  test.each([-1, 15, 1.5, Number.NaN])('a shift that keeps %d is refused', async (keep) => {
    await expect(pieces({ shift: { keep } }, PROMPT, 16)).rejects.toThrow(RangeError);
  });
});

describe('what it takes and tells', () => {
  test('greedy without a temperature, and the same twice', async () => {
    using session = model.createSession();
    const first = argmax(await session.evaluate(PROMPT));
    const ids = idsOf(await pieces({}));
    expect(ids[0]).toBe(first);
    expect(idsOf(await pieces({}))).toEqual(ids);
    expect(idsOf(await pieces({ temperature: 0.9 }))).toEqual(idsOf(await pieces({ temperature: 0.9, seed: 0 })));
    expect(idsOf(await pieces({ temperature: 0.9, seed: 1 }))).not.toEqual(ids);
  });

  test('a repetition penalty of the prompt and the answer', async () => {
    const ids = idsOf(await pieces({ repetitionPenalty: 1e6 }));
    // 512 ids and few of them used: none is chosen a second time.
    expect(new Set([...PROMPT, ...ids]).size).toBe(PROMPT.length + ids.length);
    expect(new Set(idsOf(await pieces({}))).size).toBeLessThan(12);
  });

  test('log-probabilities of the model itself', async () => {
    using session = model.createSession();
    const row = await session.evaluate(PROMPT);
    const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const expected = [...row.entries()].toSorted((a, b) => b[1] - a[1]).slice(0, 3);
    const [piece] = await pieces({ logprobs: 3, maxTokens: 1, temperature: 2, seed: 5, repetitionPenalty: 2 });
    expect(piece!.logprob).toBeCloseTo(row[piece!.id]! - total, 10);
    expect(piece!.top!.map(([id]) => id)).toEqual(expected.map(([id]) => id));
    for (const [index, [, logprob]] of piece!.top!.entries()) {
      expect(logprob).toBeCloseTo(expected[index]![1] - total, 10);
    }
    expect((await pieces({ logprobs: 0, maxTokens: 1 }))[0]).toMatchObject({ top: [], logprob: expect.any(Number) });
    expect((await pieces({ maxTokens: 1 }))[0]).not.toHaveProperty('logprob');
  });

  test('onPrompt, with what was in the cache', async () => {
    using session = model.createSession();
    const seen: unknown[] = [];
    const onPrompt = (prompt: unknown): void => void seen.push(prompt);
    const again = [...PROMPT, 9, 10, 11];
    for (const prompt of [PROMPT, again]) {
      for await (const _ of session.generate(prompt, { maxTokens: 2, onPrompt })) continue;
    }
    expect(seen).toEqual([
      { ids: PROMPT, reused: 0 },
      { ids: again, reused: PROMPT.length },
    ]);
  });

  test('text, by the tokenizer of the model', async () => {
    const all = await pieces({}, 'once');
    expect(idsOf(all)).toEqual(
      idsOf(
        await pieces(
          {},
          Array.from('once', (c) => c.codePointAt(0)!),
        ),
      ),
    );
    expect(textOf(all)).toBe(all.map(({ id }) => String.fromCodePoint(97 + (id % 26))).join(''));
  });

  test('ids alone without one', async () => {
    using own = await loadModel(tinyBytes());
    const session = own.createSession();
    const noTokenizer = { name: 'EngineError', code: 'ENGINE_NO_TOKENIZER' };
    await expect(session.generate('text').next()).rejects.toMatchObject(noTokenizer);
    await expect(session.generate(PROMPT, { stop: ['x'] }).next()).rejects.toMatchObject(noTokenizer);
    const { value } = await session.generate(PROMPT).next();
    expect(value).toEqual({ id: expect.any(Number), text: '' });
    expect(own.tokenizer).toBeUndefined();
  });

  test.each([
    [{ maxTokens: -1 }, RangeError],
    [{ maxTokens: 1.5 }, RangeError],
    [{ temperature: -1 }, RangeError],
    [{ topP: 0 }, RangeError],
    [{ minP: 2 }, RangeError],
    [{ repetitionPenalty: 0 }, RangeError],
    [{ seed: -1 }, RangeError],
    [{ logprobs: -1 }, RangeError],
    [{ stop: [''] }, RangeError],
    [{ topk: 1 }, TypeError],
  ])('%j is refused, and the session as it was', async (options, type) => {
    using session = model.createSession();
    await session.evaluate([1, 2]);
    await expect(session.generate(PROMPT, options as CompletionOptions).next()).rejects.toThrow(type);
    expect(session.ids()).toEqual([1, 2]);
    session.reset();
  });

  test.each([
    ['no ids', [], 'No ids to evaluate'],
    ['an id outside the vocabulary', [512], 'Id 512 at index 0'],
    ['more than fit', Array.from({ length: 65 }, () => 1), '65 tokens do not fit: the context holds 64 and 0 are used'],
  ])('a prompt of %s is refused', async (_, prompt, message) => {
    using session = model.createSession({ contextLength: 64 });
    await session.evaluate([1, 2]);
    await expect(session.generate(prompt).next()).rejects.toThrow(message);
    expect(session.ids()).toEqual([1, 2]);
  });
});

describe('while it runs', () => {
  const busy = { name: 'EngineError', code: 'ENGINE_BUSY' };

  test('what changes the session is refused, what reads it is not', async () => {
    using session = model.createSession();
    const ids: number[] = [];
    for await (const { id } of session.generate(PROMPT, { maxTokens: 6 })) {
      ids.push(id);
      if (ids.length !== 3) continue;
      await expect(session.evaluate([1])).rejects.toMatchObject(busy);
      await expect(session.prompt([1])).rejects.toMatchObject(busy);
      await expect(session.generate([1]).next()).rejects.toMatchObject(busy);
      expect(() => session.rewind(0)).toThrow(expect.objectContaining(busy));
      expect(() => session.reset()).toThrow(expect.objectContaining(busy));
      expect(session.ids(PROMPT.length)).toEqual(ids.slice(0, 2));
      using fork = session.fork();
      using restored = model.restoreSession(session.save());
      const next = await fork.evaluate([id]);
      expect(digest(await restored.evaluate([id]))).toBe(digest(next));
      expect(argmax(next)).toBe((await pieces({}))[3]!.id);
    }
    expect(ids).toEqual(idsOf(await pieces({ maxTokens: 6 })));
    session.reset();
  });

  test('leaving the loop frees the session', async () => {
    using session = model.createSession();
    for await (const _ of session.generate(PROMPT)) break;
    expect(session.ids()).toEqual(PROMPT);
    await session.evaluate([1]);
  });

  test('a session that is disposed meanwhile is an error at the next piece', async () => {
    const session = model.createSession();
    const generated = session.generate(PROMPT);
    await generated.next();
    session.dispose();
    await expect(generated.next()).rejects.toMatchObject({ code: 'ENGINE_DISPOSED' });
  });

  test('sessions of one model run side by side, and do not touch each other', async () => {
    const prompts = [PROMPT, [1, 2, 3], Array.from({ length: 400 }, (_, index) => (index * 7) % 512), [9]];
    const alone = [];
    for (const prompt of prompts) alone.push(idsOf(await pieces({}, prompt, 1024)));
    expect(await Promise.all(prompts.map(async (prompt) => idsOf(await pieces({}, prompt, 1024))))).toEqual(alone);
  });

  test('an abort ends it with the reason, and the tokens so far stay', async () => {
    using session = model.createSession();
    const controller = new AbortController();
    const reason = new Error('enough');
    const ids: number[] = [];
    const running = async (): Promise<void> => {
      for await (const { id } of session.generate(PROMPT, { signal: controller.signal })) {
        ids.push(id);
        if (ids.length === 4) controller.abort(reason);
      }
    };
    await expect(running()).rejects.toBe(reason);
    expect(ids).toHaveLength(4);
    expect(session.ids()).toEqual([...PROMPT, ...ids.slice(0, 3)]);
    session.reset();
  });
});

describe('logits that are not finite', () => {
  test.each([
    ['attn_norm-1', 'blk.1.attn_norm.weight', Number.NaN],
    ['ffn_norm-2', 'blk.2.ffn_norm.weight', Infinity],
    ['result_norm', 'output_norm.weight', Number.NaN],
  ])('are an error that names the position and %s', async (node, tensor, value) => {
    using damaged = await loadModel(await setData(tinyBytes(), tensor, 4 * 7, f32(value)));
    const session = damaged.createSession();
    const message = new RegExp(
      `^The logits at position 5 are not finite\\. The first value .* is (?:NaN|Infinity) in node ${node} \\(occurrence 0, element \\d+\\), of the tokens at positions 0 to 5\\.`,
    );
    await expect(session.generate(PROMPT).next()).rejects.toMatchObject({
      code: 'ENGINE_NOT_FINITE',
      message: expect.stringMatching(message),
    });
    expect(await session.firstNotFinite()).toMatchObject({ tap: { name: node, step: 0 }, positions: [0, 5] });
    expect(session.ids()).toEqual(PROMPT);
  });

  test('a sound session has none, and is as before the search', async () => {
    using session = model.createSession();
    const row = await session.prompt(PROMPT);
    for (const id of [1, 2, 3]) await session.evaluate([id]);
    session.rewind(8); // the last of the single ones
    await session.evaluate([4, 5, 6]);
    session.rewind(9); // leaves one of three
    const saved = session.save();
    expect(await session.firstNotFinite()).toBeUndefined();
    expect(session.save()).toEqual(saved);
    session.rewind(6);
    expect(digest(await session.prompt(PROMPT))).toBe(digest(row));
  });
});
