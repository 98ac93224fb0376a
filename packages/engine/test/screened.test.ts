import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  argmax,
  checkModel,
  createSampler,
  generate,
  loadModel,
  type Model,
  NUMERICS,
  prefill,
  type Session,
  type TopLogits,
} from '../src/index.ts';
import { openGguf } from '@bittern/gguf-parser';
import { RECORDED, tinyBytes } from './fixtures.ts';
import { readBytes } from './parity.ts';
import { VARIANTS } from './variants.ts';

const PROMPT = [3, 141, 59, 26, 53, 58];

/** The largest logits, found by sorting all. */
function topOf(row: Float32Array, count: number): { ids: number[]; logits: number[] } {
  const ids = Array.from(row.keys())
    .toSorted((a, b) => row[b]! - row[a]! || a - b)
    .slice(0, count);
  return { ids, logits: ids.map((id) => row[id]!) };
}

function plain({ ids, logits }: TopLogits): { ids: number[]; logits: number[] } {
  return { ids: [...ids], logits: [...logits] };
}

const CASES = RECORDED.flatMap(({ name, model }) =>
  VARIANTS.flatMap((kernels) =>
    NUMERICS.flatMap((numerics) => [1, 2].map((threads) => ({ name, model, kernels, numerics, threads }))),
  ),
);

test.each(CASES)(
  '$name, $kernels kernels, $numerics, $threads thread(s): ids and logits are those of the exact head',
  async ({ model: url, kernels, numerics, threads }) => {
    using model = await loadModel(readBytes(url), { kernels, numerics, threads, head: 'screened' });
    expect(model.head).toBe('screened');
    for (const mode of ['batch-last', 'sequential'] as const) {
      using exact = model.createSession();
      using screened = model.createSession({ head: 'screened', topK: 7 });
      let row = await prefill(exact, PROMPT, mode);
      let top = await prefill(screened, PROMPT, mode);
      for (let step = 0; step < 24; step++) {
        expect(plain(top)).toEqual(topOf(row, 7));
        expect(top.vocabSize).toBe(model.config.vocabSize);
        expect(argmax(top)).toBe(argmax(row));
        const id = [argmax(row)];
        row = await exact.evaluate(id);
        top = await screened.evaluate(id);
      }
    }
  },
);

describe('a screened session', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel(tinyBytes(), { head: 'screened' });
  });
  afterAll(() => model.dispose());

  async function texts(options: { temperature?: number; topK?: number }): Promise<[number[], number[]]> {
    using exact = model.createSession({ head: 'exact' });
    using screened = model.createSession({ head: 'screened', topK: 40 });
    const [first, second]: [number[], number[]] = [[], []];
    const logits = await prefill(exact, PROMPT, 'batch-last');
    for await (const id of generate(exact, logits, { maxTokens: 60, sampler: createSampler({ seed: 7, ...options }) }))
      first.push(id);
    const top = await prefill(screened, PROMPT, 'batch-last');
    for await (const id of generate(screened, top, { maxTokens: 60, sampler: createSampler({ seed: 7, ...options }) }))
      second.push(id);
    return [first, second];
  }

  test.each([{}, { topK: 1 }, { topK: 11, temperature: 3 }, { temperature: 0 }])(
    'samples the same ids: %j',
    async (o) => {
      const [exact, screened] = await texts(o);
      expect(screened).toHaveLength(60);
      expect(screened).toEqual(exact);
    },
  );

  test.each([0, 41, 100_000])('refuses a sampler that chooses among %d', async (topK) => {
    using session = model.createSession({ head: 'screened', topK: 40 });
    const top = await session.evaluate(PROMPT);
    const sampler = createSampler({ seed: 1, topK });
    expect(() => sampler(top)).toThrow(expect.objectContaining({ code: 'ENGINE_NEEDS_ALL_LOGITS' }));
  });

  test('gives all logits where it is asked for as many', async () => {
    const { vocabSize } = model.config;
    using exact = model.createSession();
    using session = model.createSession({ head: 'screened', topK: vocabSize });
    const row = await exact.evaluate(PROMPT);
    const top = await session.evaluate(PROMPT);
    expect(plain(top)).toEqual(topOf(row, vocabSize));
    expect(createSampler({ seed: 3, topK: 0 })(top)).toBe(createSampler({ seed: 3, topK: 0 })(row));
  });

  test('refuses logits of all positions, and is left as it was', async () => {
    using session = model.createSession({ head: 'screened' });
    await expect(session.evaluate(PROMPT, { logits: 'all' })).rejects.toMatchObject({
      code: 'ENGINE_NEEDS_ALL_LOGITS',
    });
    await expect(prefill(session, PROMPT, 'batch-all')).rejects.toMatchObject({ code: 'ENGINE_NEEDS_ALL_LOGITS' });
    expect(session.position).toBe(0);
    expect((await session.evaluate(PROMPT)).ids).toHaveLength(40);
  });

  test('gives its memory back', async () => {
    using kept = model.createSession({ head: 'screened' });
    model.createSession({ head: 'screened' }).dispose();
    const before = model.memoryBytes;
    for (let i = 0; i < 8; i++) model.createSession({ head: 'screened' }).dispose();
    expect(model.memoryBytes).toBe(before);
    expect((await kept.evaluate(PROMPT)).ids).toHaveLength(40);
  });

  test.each([0, -1, 1.5, Number.NaN, 513])('a topK of %d is refused', (topK) => {
    expect(() => model.createSession({ head: 'screened', topK })).toThrow(RangeError);
  });

  test('its taps are those of the exact head but the logits', async () => {
    const namesOf = async (session: { evaluate: Session['evaluate'] }): Promise<string[]> => {
      const names: string[] = [];
      await session.evaluate(PROMPT, { onTap: ({ name }) => names.push(name) });
      return names;
    };
    using exact = model.createSession();
    using screened = model.createSession({ head: 'screened' });
    const names = await namesOf(screened as unknown as Session);
    expect([...names, 'result_output']).toEqual(await namesOf(exact));
  });

  test('needs a model that was loaded for it', async () => {
    using other = await loadModel(tinyBytes());
    expect(other.head).toBe('exact');
    expect(() => other.createSession({ head: 'screened' })).toThrow(
      expect.objectContaining({ code: 'ENGINE_NO_SCREEN' }),
    );
    await expect(loadModel(tinyBytes(), { head: 'fast' as 'exact' })).rejects.toThrow(RangeError);
    expect(() => model.createSession({ topK: 3 } as object)).toThrow(TypeError);
  });

  test('takes a byte a weight of the head more, and 12 bytes a row', async () => {
    const gguf = await openGguf(tinyBytes());
    const [exact, screened] = [checkModel(gguf), checkModel(gguf, { head: 'screened' })];
    const { vocabSize, embeddingLength } = model.config;
    expect(screened.memory!.weights - exact.memory!.weights).toBe(
      vocabSize * (128 * Math.ceil(embeddingLength / 128) + 12),
    );
  });

  test('refuses activations that are not finite, by the id that the exact head names', async () => {
    // A norm of infinite weights makes the head's input NaN or infinite.
    const bytes = tinyBytes();
    const gguf = await openGguf(bytes);
    const { offsetBytes, sizeBytes } = gguf.tensors.get('output_norm.weight')!;
    new Float32Array(bytes.buffer, offsetBytes, sizeBytes / 4).fill(3e38);
    using broken = await loadModel(bytes, { head: 'screened' });
    using exact = broken.createSession();
    using screened = broken.createSession({ head: 'screened' });
    const messageOf = (choose: () => unknown): string => {
      try {
        choose();
      } catch (error) {
        return String(error);
      }
      return 'no error';
    };
    const row = await exact.evaluate(PROMPT);
    const top = await screened.evaluate(PROMPT);
    const expected = messageOf(() => argmax(row));
    expect(expected).toMatch(/^EngineError: The logit of id \d+ is (NaN|-?Infinity)/);
    expect(messageOf(() => argmax(top))).toBe(expected);
    expect(messageOf(() => createSampler({ seed: 1 })(top))).toBe(expected);
    expect(broken.counters().find(({ id }) => id.startsWith('f16_head_fallback'))?.calls).toBe(1);
  });
});
