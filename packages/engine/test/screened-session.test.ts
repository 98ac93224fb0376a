import { openGguf } from '@bittern/gguf-parser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type CompletionOptions,
  generate,
  loadModel,
  type Model,
  type ScreenedSession,
  type Session,
} from '../src/index.ts';
import { tinyBytes } from './fixtures.ts';

// All of a session but `evaluate` (screened.test.ts), with the screened head: as with the exact one, or refused.

const PROMPT = [502, 311, 480, 305, 454, 269];
const TOP_K = 12;

let model: Model;
beforeAll(async () => {
  model = await loadModel(tinyBytes(), { head: 'screened' });
});
afterAll(() => model.dispose());

function sessions(contextLength = 64): [exact: Session, screened: ScreenedSession] {
  return [
    model.createSession({ contextLength }),
    model.createSession({ contextLength, head: 'screened', topK: TOP_K }),
  ];
}

async function idsOf(
  session: Session | ScreenedSession,
  options: CompletionOptions,
  prompt: readonly number[] = PROMPT,
): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of session.generate(prompt, { maxTokens: 24, ...options })) ids.push(id);
  return ids;
}

describe('generates the same ids', () => {
  test.each<CompletionOptions>([
    {},
    { temperature: 1, topK: TOP_K, seed: 5 },
    { temperature: 2, topK: TOP_K, topP: 0.7, seed: 6 },
    { temperature: 2, topK: 5, minP: 0.3, seed: 7 },
    { maxTokens: 80, shift: { keep: 2 } },
    { temperature: 1, topK: 3, maxTokens: 80, shift: { keep: 2 } },
  ])('%j', async (options) => {
    const [exact, screened] = sessions(32);
    const ids = await idsOf(exact, options);
    expect(ids).toHaveLength(options.maxTokens ?? 24);
    expect(await idsOf(screened, options)).toEqual(ids);
    expect(screened.ids()).toEqual(exact.ids());
    exact.dispose();
    screened.dispose();
  });

  test('again after a rewind, in a fork, and in a session that was restored with either head', async () => {
    const [exact, screened] = sessions();
    const options = { temperature: 1, topK: TOP_K, seed: 5 };
    const [first, second] = [await idsOf(exact, options), await idsOf(exact, options, [...PROMPT, 9])];
    await screened.prompt(PROMPT);
    using fork = screened.fork();
    expect([fork.topK, fork.contextLength]).toEqual([TOP_K, 64]);
    expect(await idsOf(fork, options)).toEqual(first);
    expect(await idsOf(screened, options)).toEqual(first);
    screened.rewind(4);
    expect(screened.reusable([...PROMPT, 9])).toBe(4);
    expect(await idsOf(screened, options, [...PROMPT, 9])).toEqual(second);

    const bytes = screened.save();
    using asExact = model.restoreSession(bytes);
    using asScreened = model.restoreSession(bytes, { head: 'screened', topK: TOP_K });
    using byDefault = model.restoreSession(exact.save(), { head: 'screened' });
    expect([asExact.topK, asScreened.topK, byDefault.topK]).toEqual([undefined, TOP_K, 40]);
    const row = await asExact.evaluate([3]);
    expect(row).toHaveLength(model.config.vocabSize);
    for (const session of [asScreened, byDefault]) {
      const { ids, logits } = await session.evaluate([3]);
      expect(Array.from(ids, (id) => row[id])).toEqual([...logits]);
      expect(logits[0]).toBe(Math.max(...row));
    }
    exact.dispose();
    screened.dispose();
  });
});

describe('refuses what needs all logits, before it evaluates anything', () => {
  test.each<[CompletionOptions, string]>([
    [{ logprobs: 0 }, 'A log-probability takes the sum over all logits'],
    [{ repetitionPenalty: 1.1 }, 'A repetition penalty lets logits'],
    [{ temperature: 1 }, 'chooses among the 40 largest logits'],
    [{ temperature: 1, topK: 0 }, 'chooses among all logits'],
    [{ temperature: 1, topK: TOP_K + 1, topP: 0.5 }, `chooses among the ${TOP_K + 1} largest logits`],
  ])('%j', async (options, message) => {
    using screened = model.createSession({ head: 'screened', topK: TOP_K });
    await expect(idsOf(screened, options)).rejects.toMatchObject({
      code: 'ENGINE_NEEDS_ALL_LOGITS',
      message: expect.stringContaining(message),
    });
    expect(screened.position).toBe(0);
    expect(screened.busy).toBe(false);
  });

  test('`into`, which the types do not allow either', async () => {
    using screened = model.createSession({ head: 'screened' });
    await screened.evaluate(PROMPT);
    const into = new Float32Array(model.config.vocabSize) as never;
    for (const refused of [() => screened.evaluate([1], { into }), () => screened.prompt([1], { into })]) {
      await expect(refused()).rejects.toMatchObject({
        code: 'ENGINE_NEEDS_ALL_LOGITS',
        message: expect.stringContaining('`into` takes a row of all logits'),
      });
      expect(screened.ids()).toEqual(PROMPT);
    }
  });

  test('a session of the whole vocabulary has all for a sampler', async () => {
    const { vocabSize } = model.config;
    using exact = model.createSession();
    using screened = model.createSession({ head: 'screened', topK: vocabSize });
    const options = { temperature: 3, topK: 0, seed: 9 };
    expect(await idsOf(screened, options)).toEqual(await idsOf(exact, options));
  });
});

test('options of the head are checked', () => {
  using session = model.createSession({ head: 'screened', kvType: 'f32' });
  expect([session.kvType, session.topK]).toEqual(['f32', 40]);
  const bytes = session.save();
  expect(() => model.restoreSession(bytes, { head: 'screened', topK: 0 })).toThrow(RangeError);
  expect(() => model.restoreSession(bytes, { topK: 3 } as object)).toThrow(TypeError);
  expect(() => model.restoreSession(bytes, { head: 'fast' as 'exact' })).toThrow(RangeError);
});

test('logits that are not finite are traced to the node, which may be the logits themselves', async () => {
  // The norm is finite, and overflows when the head rounds it to f16.
  const bytes = tinyBytes();
  const { offsetBytes, sizeBytes } = (await openGguf(bytes)).tensors.get('output_norm.weight')!;
  new Float32Array(bytes.buffer, offsetBytes, sizeBytes / 4).fill(1e6);
  using broken = await loadModel(bytes, { head: 'screened' });
  using exact = broken.createSession();
  using screened = broken.createSession({ head: 'screened' });
  const messageOf = async (session: Session | ScreenedSession): Promise<string> => {
    const error: unknown = await idsOf(session, {}).catch((thrown: unknown) => thrown);
    return String(error);
  };
  const message = await messageOf(exact);
  expect(message).toContain('in node result_output');
  expect(await messageOf(screened)).toBe(message);
  const top = await screened.evaluate([1]);
  await expect(generate(screened, top, { maxTokens: 1 }).next()).rejects.toMatchObject({ code: 'ENGINE_NOT_FINITE' });
});
