import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { generate, loadModel, type Model, type Numerics, NUMERICS, type Session } from '../src/index.ts';
import { type Fixture, RECORDED } from './fixtures.ts';
import { digest, readBytes, readJson } from './parity.ts';
import { setValue } from './patch.ts';

// Whatever a session went through, what it then computes has the bits that bitnet.cpp computed from the beginning.

interface Recording {
  readonly references: readonly { readonly id: string; readonly numerics: Numerics }[];
  readonly runs: readonly Run[];
}

interface Run {
  readonly ids: readonly number[];
  readonly reference: string;
  readonly mode: string;
  readonly rows: readonly { readonly sha256: string }[];
  readonly greedy: readonly number[];
  readonly generated: readonly string[];
}

function runsOf({ recording }: Fixture): { numerics: Numerics; runs: Run[] }[] {
  const { references, runs } = readJson<Recording>(recording);
  return references.map(({ id, numerics }) => ({
    numerics,
    runs: runs.filter(({ reference, mode, ids }) => reference === id && mode === 'batch-last' && ids.length > 2),
  }));
}

/** Digests of the rows from which the next `count` greedy ids are taken, and the ids. */
async function decode(session: Session, logits: Float32Array, count: number): Promise<[string[], number[]]> {
  const rows: string[] = [];
  const ids: number[] = [];
  const onLogits = (row: Float32Array): unknown => rows.push(digest(row));
  for await (const id of generate(session, logits, { maxTokens: count, onLogits })) ids.push(id);
  return [rows, ids];
}

/** The recorded continuation from its `from`-th id on. */
function recorded(run: Run, from: number, count: number): [readonly string[], readonly number[]] {
  expect(run.greedy.length).toBeGreaterThanOrEqual(from + count);
  return [run.generated.slice(from, from + count), run.greedy.slice(from, from + count)];
}

const COUNT = 11;

describe.each(RECORDED)('$name', (fixture) => {
  const bytes = readBytes(fixture.model);

  /** Runs `check` on every recorded prompt, and returns how many that were. */
  async function onAll(check: (model: Model, run: Run) => Promise<void>): Promise<number> {
    let checked = 0;
    for (const { numerics, runs } of runsOf(fixture)) {
      using model = await loadModel(bytes, { numerics });
      for (const run of runs) {
        await check(model, run);
        checked += 1;
      }
    }
    return checked;
  }

  test('prompt keeps a shared prefix, and gives the recorded bits', async () => {
    let kept = 0;
    const checked = await onAll(async (model, run) => {
      using session = model.createSession();
      const half = Math.ceil(run.ids.length / 2);
      await session.prompt([...run.ids.slice(0, half), 7, 8, 9]);
      kept += session.reusable(run.ids);
      const row = await session.prompt(run.ids);
      expect(digest(row)).toBe(run.rows[0]!.sha256);
      expect(await decode(session, row, COUNT)).toEqual(recorded(run, 0, COUNT));
      // Again: only the prompt's last tokens are evaluated, what was generated is forgotten.
      expect(session.reusable(run.ids)).toBe(run.ids.length - 2);
      expect(digest(await session.prompt(run.ids))).toBe(run.rows[0]!.sha256);
      expect(session.ids()).toEqual(run.ids);
    });
    expect(checked).toBeGreaterThanOrEqual(8);
    expect(kept).toBeGreaterThan(checked);
  });

  test('a rewound session goes on as recorded', async () => {
    const checked = await onAll(async (model, run) => {
      using session = model.createSession();
      const row = await session.prompt(run.ids);
      expect(await decode(session, row, COUNT)).toEqual(recorded(run, 0, COUNT));
      session.rewind(run.ids.length);
      const [id] = run.greedy;
      const next = await session.evaluate([id!]);
      expect(await decode(session, next, COUNT)).toEqual(recorded(run, 1, COUNT));
    });
    expect(checked).toBeGreaterThanOrEqual(8);
  });

  test('a fork goes on as recorded, whatever becomes of the other', async () => {
    const checked = await onAll(async (model, run) => {
      using session = model.createSession();
      const row = await session.prompt(run.ids);
      using fork = session.fork();
      await session.evaluate([1, 2, 3]);
      expect(fork.ids()).toEqual(run.ids);
      expect(await decode(fork, row, COUNT)).toEqual(recorded(run, 0, COUNT));
      session.rewind(run.ids.length);
      expect(await decode(session, row, COUNT)).toEqual(recorded(run, 0, COUNT));
    });
    expect(checked).toBeGreaterThanOrEqual(8);
  });

  test('a session that was saved and restored, in another model of the file, goes on as recorded', async () => {
    const saved = new Map<Run, Uint8Array>();
    await onAll(async (model, run) => {
      using session = model.createSession({ contextLength: run.ids.length + 40 });
      const row = await session.prompt(run.ids);
      await decode(session, row, 5);
      saved.set(run, session.save());
    });
    const byContent = new Map([...saved].map(([run, value]) => [JSON.stringify(run), value]));
    const checked = await onAll(async (model, run) => {
      using session = model.restoreSession(byContent.get(JSON.stringify(run))!);
      expect(session.position).toBe(run.ids.length + 4);
      expect(session.contextLength).toBe(run.ids.length + 40);
      const row = await session.evaluate([run.greedy[4]!]);
      expect(await decode(session, row, COUNT)).toEqual(recorded(run, 5, COUNT));
    });
    expect(checked).toBeGreaterThanOrEqual(8);
  });

  test('generate gives the recorded ids', async () => {
    const checked = await onAll(async (model, run) => {
      using session = model.createSession();
      const ids: number[] = [];
      for await (const { id } of session.generate(run.ids, { maxTokens: COUNT })) ids.push(id);
      expect(ids).toEqual(run.greedy.slice(0, COUNT));
    });
    expect(checked).toBeGreaterThanOrEqual(8);
  });
});

describe.each(NUMERICS)('prompts that share a beginning, %s', (numerics) => {
  const ONE_HEAD = readBytes(new URL('vectors/one-head.gguf', import.meta.url));
  const GQA = readBytes(new URL('vectors/gqa-64.gguf', import.meta.url));
  const budget = { numRuns: 8, interruptAfterTimeLimit: 40_000, markInterruptAsFailure: true };
  // Around the ends of micro-batches, where a token may be alone
  const lengths = fc.oneof(
    fc.integer({ min: 1, max: 40 }),
    fc.constantFrom(511, 512, 513, 514, 1023, 1024, 1025, 1026),
  );

  test.each([
    ['one head', setValue(ONE_HEAD, 'bitnet-25.context_length', 2048)],
    ['grouped queries', GQA],
  ])('prompt gives the bits of an empty session: %s', { timeout: 90_000 }, async (_, bytes) => {
    using model = await loadModel(bytes, { numerics });
    const { vocabSize, contextLength } = model.config;
    const idAt = (index: number): number => (index * 37 + 11) % vocabSize;
    let kept = 0;
    await fc.assert(
      fc.asyncProperty(lengths, lengths, lengths, fc.nat(6), async (shared, before, after, decoded) => {
        const prompt = (length: number, salt: number): number[] =>
          Array.from({ length }, (_value, index) => (index < shared ? idAt(index) : (idAt(index) + salt) % vocabSize));
        const [first, second] = [prompt(before, 1), prompt(after, 2)];
        fc.pre(first.length + decoded <= contextLength && second.length <= contextLength);
        using session = model.createSession();
        const row = await session.prompt(first);
        await decode(session, row, decoded);
        kept += session.reusable(second);
        const reused = digest(await session.prompt(second));
        using empty = model.createSession();
        expect(reused).toBe(digest(await empty.evaluate(second)));
        // Not only the logits: the caches are the same, too.
        expect(session.save().slice(56 + 8 * after)).toEqual(empty.save().slice(56 + 8 * after));
      }),
      budget,
    );
    expect(kept).toBeGreaterThan(0);
  });

  test('so does a prompt split into pieces of two tokens and more', async () => {
    using model = await loadModel(GQA, { numerics });
    using whole = model.createSession();
    using split = model.createSession();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 2, max: 9 }), { minLength: 2, maxLength: 8 }), async (pieces) => {
        const ids = Array.from(
          { length: pieces.reduce((sum, length) => sum + length, 0) },
          (_, index) => (index * 53 + 5) % model.config.vocabSize,
        );
        whole.reset();
        split.reset();
        const expected: string[] = [];
        await whole.evaluate(ids, { logits: 'all', onLogits: (row) => expected.push(digest(row)) });
        const rows: string[] = [];
        for (const length of pieces) {
          const piece = ids.slice(split.position, split.position + length);
          await split.evaluate(piece, { logits: 'all', onLogits: (row) => rows.push(digest(row)) });
        }
        expect(rows).toEqual(expected);
      }),
      budget,
    );
  });

  test('a token alone is another matter: it is not reused for a prompt', async () => {
    using model = await loadModel(GQA, { numerics });
    using session = model.createSession();
    for (const id of [1, 2, 3, 4, 5]) await session.evaluate([id]);
    expect(session.reusable([1, 2, 3, 4, 5, 6])).toBe(0);
    const row = digest(await session.prompt([1, 2, 3, 4, 5, 6]));
    using empty = model.createSession();
    expect(row).toBe(digest(await empty.evaluate([1, 2, 3, 4, 5, 6])));
    using alone = model.createSession();
    for (const id of [1, 2, 3, 4]) await alone.evaluate([id]);
    expect(digest(await alone.evaluate([5, 6]))).not.toBe(row);
  });
});
