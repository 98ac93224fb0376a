import { loadKernels, type WasmKernels } from '@bittern/kernels';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  argmax,
  type FeedTap,
  generate,
  loadModel,
  type Model,
  prefill,
  type Session,
  type Tap,
} from '../src/index.ts';
import { tinyBytes } from './fixtures.ts';
import { compute, digest, trace } from './parity.ts';

const PROMPT = [502, 311, 480, 305, 454, 269];
/** Two micro-batches. */
const LONG = Array.from({ length: 600 }, (_, index) => (index * 37 + 11) % 512);

let model: Model;

beforeAll(async () => {
  model = await loadModel(tinyBytes());
});
afterAll(() => model.dispose());

/** Digests of all rows of `ids`, evaluated after what the session holds. */
async function rows(session: Session, ids: readonly number[]): Promise<string[]> {
  const digests: string[] = [];
  await session.evaluate(ids, { logits: 'all', onLogits: (row) => digests.push(digest(row)) });
  return digests;
}

/** The same from an empty session, after `before` in a call of its own. */
async function freshRows(ids: readonly number[], before: readonly number[] = []): Promise<string[]> {
  using session = model.createSession();
  if (before.length > 0) await session.evaluate(before);
  return await rows(session, ids); // the session lives until then
}

describe('ids that cannot be evaluated', () => {
  test('a prompt longer than the context is refused whole', async () => {
    using session = model.createSession({ contextLength: 8 });
    const nine = Array.from({ length: 9 }, () => 1);
    await expect(session.evaluate(nine)).rejects.toMatchObject({ name: 'EngineError', code: 'ENGINE_CONTEXT_FULL' });
    expect(session.position).toBe(0);
    expect(await rows(session, PROMPT)).toEqual(await freshRows(PROMPT));
  });

  test('so is one that does not fit behind what is there', async () => {
    using session = model.createSession({ contextLength: 8 });
    await session.evaluate(PROMPT);
    await expect(session.evaluate([1, 2, 3])).rejects.toMatchObject({ code: 'ENGINE_CONTEXT_FULL' });
    expect(session.position).toBe(6);
    expect(await rows(session, [7, 8])).toEqual(await freshRows([7, 8], PROMPT));
    await expect(session.evaluate([1])).rejects.toMatchObject({ code: 'ENGINE_CONTEXT_FULL' });
  });

  test.each([[[]], [[1, 512]], [[-1]], [[1, 2.5]], [[Number.NaN]], [[2 ** 32]]])('%j is refused', async (ids) => {
    using session = model.createSession();
    await session.evaluate([3, 4]);
    await expect(session.evaluate(ids)).rejects.toThrow(RangeError);
    expect(session.position).toBe(2);
    expect(await rows(session, PROMPT)).toEqual(await freshRows(PROMPT, [3, 4]));
  });

  test.each([0, -1, 1.5, Number.NaN, 1025, Infinity])('a contextLength of %d is refused', (contextLength) => {
    expect(() => model.createSession({ contextLength })).toThrow(RangeError);
  });
});

describe('what a session holds', () => {
  test.each([33, 34, 64, 65])('every node is the same with a context length of %d', async (contextLength) => {
    const ids = LONG.slice(0, 33);
    using session = model.createSession({ contextLength });
    using longest = model.createSession();
    expect(await trace(session, ids, 'batch-all')).toEqual(await trace(longest, ids, 'batch-all'));
    expect(session.position).toBe(33);
  });

  test('a reset session is as a new one, also after a longer prompt', async () => {
    using session = model.createSession();
    await session.evaluate(LONG);
    expect(session.position).toBe(600);
    session.reset();
    expect(session.position).toBe(0);
    expect(await rows(session, PROMPT)).toEqual(await freshRows(PROMPT));
    expect(await trace(session, PROMPT, 'batch-all')).toEqual(await trace(model.createSession(), PROMPT, 'batch-all'));
  });

  test('sessions do not touch each other', async () => {
    const other = LONG.slice(0, 40);
    using a = model.createSession();
    using b = model.createSession({ contextLength: 64 });
    const ofA = [...(await rows(a, PROMPT))];
    const ofB = [...(await rows(b, other))];
    ofA.push(...(await rows(a, [9])));
    ofB.push(...(await rows(b, [9])));
    expect(ofA).toEqual([...(await freshRows(PROMPT)), ...(await freshRows([9], PROMPT))]);
    expect(ofB).toEqual([...(await freshRows(other)), ...(await freshRows([9], other))]);
  });

  test('the result is a copy of the last row', async () => {
    using session = model.createSession();
    let seen = '';
    const result = await session.evaluate(PROMPT, { logits: 'all', onLogits: (row) => (seen = digest(row)) });
    const before = digest(result);
    expect(before).toBe(seen);
    await session.evaluate(PROMPT.toReversed(), { logits: 'all' }); // writes where the row was
    expect(digest(result)).toBe(before);
  });

  test('looking at every node changes nothing', async () => {
    using session = model.createSession();
    const plain = await compute(session, PROMPT, 'batch-last', 4);
    await trace(session, PROMPT, 'batch-last');
    session.reset();
    const tapped = await prefill(session, PROMPT, 'batch-last', { onTap: () => {} });
    expect([digest(tapped)]).toEqual(plain.rows);
  });

  test('steps count micro-batches from the start or the reset', async () => {
    using session = model.createSession();
    const steps = new Set<number>();
    await session.evaluate(LONG, { onTap: ({ step }) => steps.add(step) });
    await session.evaluate([1], { onTap: ({ step }) => steps.add(step) });
    expect([...steps]).toEqual([0, 1, 2]);
    const nodes = await trace(session, PROMPT, 'sequential');
    expect([...new Set(nodes.map(({ step }) => step))]).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe('rows and nodes that are asked for', () => {
  test('into receives the last row, and is the result', async () => {
    using session = model.createSession();
    const expected = digest(await session.evaluate(PROMPT));
    session.reset();
    const into = new Float32Array(512);
    expect(await session.evaluate(PROMPT, { into })).toBe(into);
    expect(digest(into)).toBe(expected);
    await expect(session.evaluate([1], { into: new Float32Array(511) })).rejects.toThrow('into has 511 elements');
    expect(session.position).toBe(6);
  });

  test('a row of onLogits is the same array each time, and none of the kernels', async () => {
    using session = model.createSession();
    const seen: Float32Array[] = [];
    await session.evaluate(PROMPT, { logits: 'all', onLogits: (row) => seen.push(row.fill(0)) });
    expect(new Set(seen).size).toBe(1);
    expect(seen[0]!.buffer).toBeInstanceOf(ArrayBuffer);
    session.reset();
    const digests: string[] = [];
    await session.evaluate(PROMPT, { logits: 'all', onLogits: (row) => digests.push(digest(row)) });
    expect(digests).toEqual(await freshRows(PROMPT));
  });

  test.each([
    [['l_out-*'], ['l_out-0', 'l_out-1', 'l_out-2', 'l_out-3']],
    [
      ['result_norm', 'ffn_?orm-2'],
      ['ffn_norm-2', 'result_norm'],
    ],
    [['kq-1'], ['kq-1']],
    [['Qcur-0'], ['Qcur-0', 'Qcur-0']],
    [['kqv*-3'], ['kqv-3', 'kqv_out-3']],
    [['nothing-of-this-name'], []],
    [[], []],
  ])('taps %j are %j, with the data that all taps have', async (taps, names) => {
    using session = model.createSession();
    const key = ({ name, occurrence, step, shape, data }: Tap): unknown => ({
      name,
      occurrence,
      step,
      shape,
      sha256: digest(data),
    });
    const some: unknown[] = [];
    const all: Tap[] = [];
    await session.evaluate(PROMPT, { taps, onTap: (tap) => some.push(key(tap)) });
    session.reset();
    await session.evaluate(PROMPT, { onTap: (tap) => all.push(tap) });
    const wanted = all.filter(({ name }) => names.includes(name));
    expect(wanted.map(({ name }) => name)).toEqual(names);
    expect(some).toEqual(wanted.map(key));
  });
});

describe('rewinding', () => {
  test('steps go on from those that are left', async () => {
    using session = model.createSession();
    const steps: number[] = [];
    const options = { onTap: ({ step }: Tap) => steps.push(step), taps: ['inp_embd'] };
    await session.evaluate(LONG, options);
    await session.evaluate([1], options);
    session.rewind(100);
    await session.evaluate([1], options);
    session.rewind(0);
    await session.evaluate([1], options);
    expect(steps).toEqual([0, 1, 2, 1, 0]);
  });

  test.each([-1, 7, 1.5, Number.NaN])('to position %d of 6 is refused', async (position) => {
    using session = model.createSession();
    await session.evaluate(PROMPT);
    expect(() => session.rewind(position)).toThrow(RangeError);
    expect(session.ids()).toEqual(PROMPT);
  });
});

describe('one call at a time', () => {
  const busy = { name: 'EngineError', code: 'ENGINE_BUSY' };

  test('any other use during an evaluation is refused, and the evaluation goes on', async () => {
    using session = model.createSession();
    const digests: string[] = [];
    const first = session.evaluate(LONG, { logits: 'all', onLogits: (row) => digests.push(digest(row)) });
    await expect(session.evaluate([1])).rejects.toMatchObject(busy);
    expect(() => session.reset()).toThrow(expect.objectContaining(busy));
    expect(() => session.dispose()).toThrow(expect.objectContaining(busy));
    await first;
    expect(session.position).toBe(600);
    expect(digests).toEqual(await freshRows(LONG));
  });

  test('also from within a callback', async () => {
    using session = model.createSession();
    const nested: Promise<unknown>[] = [];
    await session.evaluate(PROMPT, {
      onLogits: () => nested.push(session.evaluate([1]).catch((reason: unknown) => reason)),
    });
    expect(await Promise.all(nested)).toEqual([expect.objectContaining(busy)]);
    expect(session.position).toBe(6);
  });
});

describe('an evaluation that ends early', () => {
  test('an abort between micro-batches leaves the session as it was', async () => {
    using session = model.createSession();
    await session.evaluate(PROMPT);
    const controller = new AbortController();
    const reason = new Error('enough');
    let seen = 0;
    const evaluating = session.evaluate(LONG, {
      logits: 'all',
      signal: controller.signal,
      onLogits() {
        seen += 1;
        if (seen === 512) controller.abort(reason);
      },
    });
    await expect(evaluating).rejects.toBe(reason);
    expect(seen).toBe(512);
    expect(session.position).toBe(6);
    expect(await rows(session, [7, 8, 9])).toEqual(await freshRows([7, 8, 9], PROMPT));
  });

  test('an abort from outside arrives', async () => {
    using session = model.createSession();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 0); // fires between the micro-batches, the first chance after this turn
    const evaluating = session.evaluate(LONG, { signal: controller.signal });
    await expect(evaluating).rejects.toMatchObject({ name: 'AbortError' });
    expect(session.position).toBe(0);
    expect(await rows(session, PROMPT)).toEqual(await freshRows(PROMPT));
  });

  test('a signal that is aborted already stops before anything', async () => {
    using session = model.createSession();
    const signal = AbortSignal.abort();
    let seen = 0;
    const evaluating = session.evaluate(PROMPT, { signal, onTap: () => (seen += 1) });
    await expect(evaluating).rejects.toMatchObject({ name: 'AbortError' });
    expect(seen).toBe(0);
    expect(session.position).toBe(0);
  });

  test('an error in a callback does the same as an abort', async () => {
    using session = model.createSession();
    await session.evaluate(PROMPT);
    const failure = new Error('from the caller');
    const tapped = session.evaluate([7, 8], {
      onTap({ name }) {
        if (name === 'l_out-2') throw failure;
      },
    });
    await expect(tapped).rejects.toBe(failure);
    expect(session.position).toBe(6);
    expect(await rows(session, [7, 8, 9])).toEqual(await freshRows([7, 8, 9], PROMPT));
  });
});

describe('memory', () => {
  const disposed = { name: 'EngineError', code: 'ENGINE_DISPOSED' };

  // Each with a model of its own: free space that other sessions left would hide a leak.
  test('a disposed session gives it back', async () => {
    using own = await loadModel(tinyBytes());
    own.createSession().dispose();
    const { memoryBytes } = own;
    for (let cycle = 0; cycle < 50; cycle++) {
      using session = own.createSession({ contextLength: 1024 - cycle });
      await session.evaluate([cycle]);
    }
    expect(own.memoryBytes).toBe(memoryBytes);
  });

  test('so does a trace, also one that fails', async () => {
    using own = await loadModel(tinyBytes());
    const session = own.createSession({ contextLength: 32 });
    await trace(session, PROMPT, 'batch-all');
    const { memoryBytes } = own;
    const failure = new Error('from the caller');
    const onTap = (): never => {
      throw failure;
    };
    for (let cycle = 0; cycle < 20; cycle++) {
      await trace(session, PROMPT, 'batch-all');
      await expect(session.evaluate(PROMPT, { onTap })).rejects.toBe(failure);
    }
    expect(own.memoryBytes).toBe(memoryBytes);
  });

  test('a session after dispose is refused; dispose is idempotent', async () => {
    const session = model.createSession();
    session.dispose();
    session.dispose();
    await expect(session.evaluate([1])).rejects.toMatchObject(disposed);
    for (const use of [() => session.reset(), () => session.ids(), () => session.save(), () => session.fork()]) {
      expect(use).toThrow(expect.objectContaining(disposed));
    }
    await expect(session.prompt([1])).rejects.toMatchObject(disposed);
    await expect(session.generate([1]).next()).rejects.toMatchObject(disposed);
  });

  test('a model disposes its sessions', async () => {
    const own = await loadModel(tinyBytes());
    const session = own.createSession();
    own.dispose();
    own.dispose();
    await expect(session.evaluate([1])).rejects.toMatchObject(disposed);
    expect(() => own.createSession()).toThrow(expect.objectContaining(disposed));
    expect(() => own.config).toThrow(expect.objectContaining(disposed));
    expect(() => own.memoryBytes).toThrow(expect.objectContaining(disposed));
  });
});

describe('generate', () => {
  async function continued(
    options: Partial<Parameters<typeof generate>[2]> & { contextLength?: number },
  ): Promise<{ ids: number[]; position: number }> {
    const { contextLength = 64, ...rest } = options;
    using session = model.createSession({ contextLength });
    const logits = await session.evaluate(PROMPT);
    const ids: number[] = [];
    for await (const id of generate(session, logits, { maxTokens: 6, ...rest })) ids.push(id);
    return { ids, position: session.position };
  }

  test('gives maxTokens ids, the last one not evaluated', async () => {
    const six = await continued({});
    expect(six.ids).toHaveLength(6);
    expect(six.position).toBe(PROMPT.length + 5);
    expect(await continued({ maxTokens: 2 })).toEqual({ ids: six.ids.slice(0, 2), position: PROMPT.length + 1 });
    expect(await continued({ maxTokens: 0 })).toEqual({ ids: [], position: PROMPT.length });
  });

  test('ends with a stop id, which it yields', async () => {
    const { ids } = await continued({});
    const stop = ids[2]!;
    const until = ids.slice(0, ids.indexOf(stop) + 1);
    expect((await continued({ stopIds: new Set([stop]) })).ids).toEqual(until);
  });

  test('ends when the context is full', async () => {
    const { ids } = await continued({});
    expect(await continued({ contextLength: 8 })).toEqual({ ids: ids.slice(0, 3), position: 8 });
  });

  test('takes ids from the sampler and shows it the rows', async () => {
    const best: number[] = [];
    const { ids } = await continued({ sampler: () => 7, onLogits: (row) => best.push(argmax(row)) });
    expect(ids).toEqual([7, 7, 7, 7, 7, 7]);
    expect(best).toHaveLength(6);
  });

  test('an abort ends it with the reason', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const onLogits = (): void => controller.abort(reason);
    await expect(continued({ signal: controller.signal, onLogits })).rejects.toBe(reason);
  });
});

describe('teacher forcing', () => {
  /** Every tap of a batch by name and occurrence. */
  async function tapsOf(
    session: Session,
    feed?: FeedTap,
    patterns: readonly string[] = ['*'],
  ): Promise<Map<string, Float32Array>> {
    const taps = new Map<string, Float32Array>();
    session.reset();
    await session.evaluate(PROMPT, {
      logits: 'all',
      taps: patterns,
      onTap: ({ name, occurrence, data }) => taps.set(`${name}#${occurrence}`, data),
      ...(feed && { feedTap: feed }),
    });
    return taps;
  }

  test('its own values change nothing', async () => {
    using session = model.createSession();
    const own = await tapsOf(session);
    const fed = await tapsOf(session, ({ name, occurrence }) => own.get(`${name}#${occurrence}`));
    expect([...fed].map(([name, data]) => [name, digest(data)])).toEqual(
      [...own].map(([name, data]) => [name, digest(data)]),
    );
  });

  test('what is fed takes the place of a result for all that follows, and not of its own tap', async () => {
    using session = model.createSession();
    const own = await tapsOf(session);
    // ffn_up is tapped after the activation that reads it.
    for (const at of ['inp_embd#0', 'Qcur-1#1', 'attn_norm-2#0', 'ffn_up-1#0', 'l_out-2#0']) {
      const fed = await tapsOf(session, ({ name, occurrence }) =>
        `${name}#${occurrence}` === at ? own.get(at)!.map((value) => value * 2) : undefined,
      );
      expect(digest(fed.get(at)!)).toBe(digest(own.get(at)!));
      expect(digest(fed.get('result_output#0')!)).not.toBe(digest(own.get('result_output#0')!));
    }
  });

  test('nodes that nobody taps are fed, too', async () => {
    using session = model.createSession();
    const own = await tapsOf(session);
    for (const at of ['inp_embd#0', 'Qcur-1#1', 'ffn_up-1#0', 'l_out-2#0']) {
      const feed: FeedTap = ({ name, occurrence }) =>
        `${name}#${occurrence}` === at ? own.get(at)!.map((value) => value * 2) : undefined;
      const all = await tapsOf(session, feed);
      const some = await tapsOf(session, feed, ['result_*']);
      expect([...some.keys()]).toEqual(['result_norm#0', 'result_output#0']);
      expect(digest(some.get('result_output#0')!)).toBe(digest(all.get('result_output#0')!));
    }
    // Scores that nobody taps are not kept, so there is nothing to feed into.
    await tapsOf(
      session,
      ({ name, shape }) => (/^kq(?:_soft_max_ext)?-/.test(name) ? new Float32Array(shape.length) : undefined),
      ['inp_embd'],
    );
  });

  test('is refused without taps, and with values that do not fit', async () => {
    using session = model.createSession();
    await expect(session.evaluate(PROMPT, { feedTap: () => undefined })).rejects.toThrow(TypeError);
    await expect(tapsOf(session, () => new Float32Array(3))).rejects.toThrow(RangeError);
    expect(session.position).toBe(0);
  });
});

test('kernels of the caller run the model, wrapped or not', async () => {
  const plain = await loadKernels();
  const wrapped: WasmKernels = Object.defineProperties({}, Object.getOwnPropertyDescriptors(plain)) as WasmKernels;
  let calls = 0;
  wrapped.i2sGemm = (...args) => {
    calls++;
    plain.i2sGemm(...args);
  };
  using own = await loadModel(tinyBytes(), { kernels: wrapped });
  using session = own.createSession();
  expect(await rows(session, PROMPT)).toEqual(await freshRows(PROMPT));
  expect(calls).toBe(4 * 7); // layers, matrices
});
