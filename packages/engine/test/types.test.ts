// Models in llama.cpp's types, against an f64 implementation that shares no code with the engine (f64/).
//
// Node by node: each node of a trace is computed again in f64 from the engine's own inputs of it, with the roundings that
// the type asks for, and must lie within the error that f32 sums of that length can have. And from ids to logits against
// f64 without any rounding, within what the roundings of activations can make.
import { openGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import { checkModel, loadModel, type Numerics, NUMERICS, type Session, type Tap } from '../src/index.ts';
import { RECORDED } from './fixtures.ts';
import { asSeenBy, largestOf, toHalf, type Type, TYPES } from './f64/formats.ts';
import * as f64 from './f64/graph.ts';
import { makeModel, type MakeOptions, rewritten } from './f64/make-model.ts';
import { digest, readBytes } from './parity.ts';
import { VARIANTS } from './variants.ts';

const IDS = [3, 17, 90, 4, 41, 41];
const EPSILON = 2 ** -24;

type Bytes = Uint8Array<ArrayBuffer>;

const embeddingFor = (type: Type): Type => (type === 'I2_S' ? 'F16' : type);

type Case = readonly [name: string, options: MakeOptions];

const OWN_HEADS: readonly Case[] = TYPES.filter((type) => type !== 'I2_S').map((type) => [
  `I2_S with a head of ${type}`,
  { linear: 'I2_S', embedding: 'F32', output: type },
]);

/** With the products of every type, and everything that the graph does besides. */
const MODELS: readonly Case[] = [
  ...TYPES.map((type): Case => [`${type}, tied`, { linear: type, embedding: embeddingFor(type) }]),
  ['F32, biases', { linear: 'F32', embedding: 'F16', biases: true }],
  ['I2_S, biases and scales', { linear: 'I2_S', embedding: 'F16', biases: true, scales: true }],
  ['TQ2_0, scales', { linear: 'TQ2_0', embedding: 'F16', scales: true }],
  ['F16, RoPE factors', { linear: 'F16', embedding: 'Q8_0', ropeFreqs: true }],
  ['Q8_0, heads of another size', { linear: 'Q8_0', embedding: 'Q4_0', keyLength: 32 }],
  ['Q8_0, rows of 288', { linear: 'Q8_0', embedding: 'F32', embeddingLength: 288, keyLength: 24 }],
  ['F32, rows of 288', { linear: 'F32', embedding: 'BF16', embeddingLength: 288, keyLength: 24 }],
  [
    'as a Q4_0 file mixes them',
    {
      linear: (name) =>
        name === 'attn_v' ? 'Q6_K' : name === 'ffn_down' ? 'Q8_0' : name === 'attn_k' ? 'BF16' : 'Q4_0',
      embedding: 'Q4_0',
      output: 'Q6_K',
    },
  ],
];

/** Nodes of a step by name and occurrence. */
class Nodes {
  readonly #nodes = new Map<string, Tap>();
  readonly #unseen = new Set<string>();

  add(tap: Tap): void {
    this.#nodes.set(`${tap.name} ${tap.occurrence}`, tap);
    this.#unseen.add(`${tap.name} ${tap.occurrence}`);
  }

  has(name: string, occurrence = 0): boolean {
    return this.#nodes.has(`${name} ${occurrence}`);
  }

  /** As rows of `width`. */
  rows(name: string, width: number, occurrence = 0): number[][] {
    const key = `${name} ${occurrence}`;
    const tap = this.#nodes.get(key);
    if (tap === undefined) throw new Error(`no node "${key}"; there are ${[...this.#nodes.keys()].join(', ')}`);
    this.#unseen.delete(key);
    return f64.rows({ type: 'F32', shape: [width], values: Float64Array.from(tap.data) });
  }

  get unseen(): string[] {
    return [...this.#unseen];
  }
}

/** Fails unless every value lies within its bound; NaN lies nowhere. */
function expectWithin(
  name: string,
  actual: f64.Rows,
  expected: f64.Rows,
  bound: (row: number, i: number) => number,
): void {
  expect({ name, rows: actual.length }).toEqual({ name, rows: expected.length });
  expect(actual.length).toBeGreaterThan(0);
  for (const [r, row] of actual.entries()) {
    expect({ name, columns: row.length }).toEqual({ name, columns: expected[r]!.length });
    for (const [i, value] of row.entries()) {
      const error = Math.abs(value - expected[r]![i]!);
      if (!(error <= bound(r, i))) {
        throw new Error(`${name}[${r}, ${i}] is ${value}, f64 gives ${expected[r]![i]}; ${error} > ${bound(r, i)}`);
      }
    }
  }
}

/** Every node of one step of at most one micro-batch that began at position 0. */
function expectNodes(model: f64.F64Model, nodes: Nodes, ids: readonly number[]): void {
  const width = model.number('embedding_length');
  const wide = model.number('feed_forward_length');
  const heads = model.number('attention.head_count');
  const kvHeads = model.number('attention.head_count_kv');
  const headDim = f64.headDimOf(model);
  const isLlama = model.architecture === 'llama';
  const isSingle = ids.length === 1;

  const product = (tensor: string, input: f64.Rows, name: string, biasName: string): f64.Rows => {
    const weight = f64.tensorOf(model, `${tensor}.weight`);
    const seen = input.map((row) => asSeenBy(weight.type, row, isSingle));
    const scale = model.tensors.get(`${tensor}.scale`)?.values[0] ?? 1;
    const [rows, columns] = weight.shape as [number, number];
    const actual = nodes.rows(name, rows);
    const { sums, magnitudes } = f64.products(weight, seen);
    const expected = sums.map((row) => row.map((sum) => scale * sum));
    // A sum of n products in f32 is off by at most n + 1 roundings of the sum of magnitudes, and scales by a few more.
    const roundings = (columns + 8) * EPSILON;
    expectWithin(name, actual, expected, (row, m) => roundings * Math.abs(scale) * magnitudes[row]![m]!);
    const bias = model.tensors.get(`${tensor}.bias`)?.values;
    if (bias === undefined) return actual;
    const occurrence = name === biasName ? 1 : 0;
    const biased = nodes.rows(biasName, rows, occurrence);
    const wanted = actual.map((row) => row.map((x, m) => x + bias[m]!));
    expectWithin(`${biasName} with bias`, biased, wanted, (row, m) => EPSILON * Math.abs(wanted[row]![m]!));
    return biased;
  };
  const normed = (tensor: string, input: f64.Rows, name: string): f64.Rows => {
    const expected = f64.norm(model, tensor, input);
    const actual = nodes.rows(name, input[0]!.length);
    expectWithin(name, actual, expected, (row, i) => 8 * EPSILON * Math.abs(expected[row]![i]!));
    return actual;
  };
  const relative = (name: string, actual: f64.Rows, expected: f64.Rows, roundings: number): f64.Rows => {
    expectWithin(name, actual, expected, (row, i) => roundings * EPSILON * Math.abs(expected[row]![i]!) + 2 ** -140);
    return actual;
  };

  const embedding = f64.rows(f64.tensorOf(model, 'token_embd.weight'));
  let x: f64.Rows = nodes.rows('inp_embd', width);
  const looked = ids.map((id) => embedding[id]!);
  expectWithin('inp_embd', x, looked, () => 0);
  for (let layer = 0; layer < model.number('block_count'); layer++) {
    const of = (name: string): string => `blk.${layer}.${name}`;
    const node = (name: string): string => `${name}-${layer}`;
    for (let o = 0; nodes.has(node('norm'), o); o++) nodes.rows(node('norm'), 1, o); // before the weight
    const h = normed(of('attn_norm'), x, node('attn_norm'));
    const rotated = (tensor: string, name: string, count: number): f64.Rows => {
      const flat = product(of(tensor), h, name, name);
      const occurrence = model.tensors.has(`${of(tensor)}.bias`) ? 2 : 1;
      const actual = nodes.rows(name, count * headDim, occurrence);
      // Angles are made by up to headDim / 2 products in f32, and so off by as many roundings; sine and cosine by two.
      const bound = (row: number, i: number): number => {
        const head = i - (i % headDim);
        const largest = Math.max(...flat[row]!.slice(head, head + headDim).map(Math.abs));
        return 2 * largest * EPSILON * (row * headDim + 8);
      };
      expectWithin(`${name} rotated`, actual, f64.rope(model, flat, headDim), bound);
      return actual;
    };
    const q = rotated('attn_q', node('Qcur'), heads);
    const k = rotated('attn_k', node('Kcur'), kvHeads);
    const v = product(of('attn_v'), h, node('Vcur'), node('Vcur'));

    const half = (list: f64.Rows): number[][] => list.map((row) => row.map(toHalf));
    const expected = f64.attend(half(q), half(k), half(v), heads, kvHeads, headDim);
    const attended = nodes.rows(node(isLlama ? 'kqv_merged_cont' : 'kqv_out'), heads * headDim);
    // Scores are off by headDim roundings of their terms, probabilities by twice that and, alone, by one to f16.
    const largest = (list: f64.Rows): number => largestOf(list.flat());
    const scoreError = headDim * EPSILON * Math.sqrt(headDim) * largest(q) * largest(k);
    const probabilityError = isSingle ? 2 ** -11 : 0;
    expectWithin(
      node('attention'),
      attended,
      expected,
      () => largest(v) * (4 * scoreError + 64 * EPSILON + probabilityError),
    );
    nodes.rows(node('kq'), 1);
    nodes.rows(node('kq_soft_max_ext'), 1);
    nodes.rows(node('kqv'), 1);

    const o = isLlama ? attended : normed(of('attn_sub_norm'), attended, node('attn_sub_norm'));
    const hasBias = model.tensors.has(`${of('attn_output')}.bias`);
    const projected = isLlama
      ? product(of('attn_output'), o, node(hasBias ? 'kqv_wo' : 'kqv_out'), node('kqv_out'))
      : product(of('attn_output'), o, node('attn_o_out'), node('attn_o_out'));
    x = relative(node('ffn_inp'), nodes.rows(node('ffn_inp'), width), f64.sum(projected, x), 1);
    const f = normed(of('ffn_norm'), x, node('ffn_norm'));
    const gate = product(of('ffn_gate'), f, node('ffn_gate'), node('ffn_gate_b'));
    // Up's tap comes after its bias.
    const up = nodes.rows(node(hasBias && isLlama ? 'ffn_up_b' : 'ffn_up'), wide);
    if (!hasBias) product(of('ffn_up'), f, node('ffn_up'), '');
    const activated = nodes.rows(node(model.architecture === 'bitnet-b1.58' ? 'ffn_relu' : 'ffn_silu'), wide);
    const activate = model.architecture === 'bitnet-b1.58' ? (g: number) => Math.max(g, 0) : f64.silu;
    relative(
      node('activation'),
      activated,
      gate.map((row) => row.map(activate)),
      24,
    );
    if (model.architecture === 'bitnet-b1.58') nodes.rows(node('ffn_sqr(relu)'), wide);
    const gatedName = isLlama ? 'ffn_gate_par' : model.architecture === 'bitnet' ? 'ffn_sub_out' : 'ffn_out';
    const t = relative(node(gatedName), nodes.rows(node(gatedName), wide), f64.gated(model, gate, up), 26);
    const down = isLlama
      ? product(of('ffn_down'), t, node(hasBias ? 'ffn_down' : 'ffn_out'), node('ffn_out'))
      : product(of('ffn_down'), normed(of('ffn_sub_norm'), t, node('ffn_sub_norm')), node('ffn_down'), '');
    x = relative(node('l_out'), nodes.rows(node('l_out'), width), f64.sum(down, x), 1);
  }
  nodes.rows('norm', width);
  const result = normed('output_norm', x, 'result_norm');
  product(f64.headOf(model), result, 'result_output', '');
  expect(nodes.unseen).toEqual([]);
}

async function traced(session: Session, ids: readonly number[]): Promise<Nodes> {
  const nodes = new Nodes();
  session.reset();
  await session.evaluate(ids, { logits: 'all', onTap: (tap) => nodes.add(tap) });
  return nodes;
}

async function allLogits(session: Session, ids: readonly number[]): Promise<Float32Array[]> {
  const logits: Float32Array[] = [];
  session.reset();
  await session.evaluate(ids, { logits: 'all', onLogits: (row) => void logits.push(row.slice()) });
  return logits;
}

/** Root mean square of the difference, relative to that of `expected`. */
function distance(actual: f64.Rows, expected: f64.Rows): number {
  const [a, e] = [actual.flat(), expected.flat()];
  expect(a.length).toBe(e.length);
  const square = (list: readonly number[]): number => list.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(square(a.map((x, i) => x - e[i]!)) / square(e));
}

/**
 * What the roundings of activations make of logits, relative: each rounding adds an error of about this much of the
 * activations' root mean square, independent of the others, and a layer of the small models here at most doubles it.
 */
function toleranceOf(types: readonly string[], layers: number): number {
  const steps: Readonly<Record<string, number>> = {
    F32: 2 ** -12,
    F16: 2 ** -12,
    BF16: 2 ** -9,
    Q8_0: 2 ** -7,
    Q4_0: 2 ** -7,
  };
  const step = Math.max(2 ** -12, ...types.map((type) => steps[type] ?? 2 ** -6.5)); // keys and values are f16 in all
  return step * Math.sqrt(7 * layers) * 2;
}

/** How rows are shared does not depend on the numerics: with either, one more number of threads. */
const THREADS: Readonly<Record<Numerics, readonly number[]>> = { avx2: [1, 2], avx512: [1, 3] };

async function expectSameEverywhere(bytes: Bytes, ids: readonly number[]): Promise<void> {
  for (const numerics of NUMERICS) {
    const digests = new Set<string>();
    for (const kernels of VARIANTS) {
      for (const threads of THREADS[numerics]) {
        using model = await loadModel(bytes, { kernels, threads, numerics });
        using session = model.createSession();
        const rows = await allLogits(session, ids);
        for (const id of ids.slice(0, 2)) rows.push(await session.evaluate([id]));
        digests.add(rows.map((row) => digest(row)).join());
      }
    }
    expect(digests.size).toBe(1);
  }
}

async function expectRight(bytes: Bytes): Promise<void> {
  const gguf = await openGguf(bytes);
  const plain = await f64.readModel(gguf);
  const exact = f64.evaluate(plain, IDS);
  for (const numerics of NUMERICS) {
    using model = await loadModel(bytes, { threads: 1, numerics });
    using session = model.createSession();
    expectNodes(plain, await traced(session, IDS), IDS);
    expectNodes(plain, await traced(session, [IDS[0]!]), [IDS[0]!]);
    const logits = (await allLogits(session, IDS)).map((row) => Array.from(row));
    const types = [...gguf.tensors.values()].filter(({ shape }) => shape.length === 2).map(({ type }) => type);
    const tolerance = toleranceOf(types, model.config.blockCount);
    const error = distance(logits, exact);
    if (!(error <= tolerance)) throw new Error(`logits are off by ${error} of f64's, more than ${tolerance}`);
  }
}

describe('architecture llama', () => {
  test.each([...MODELS, ...OWN_HEADS])(
    '%s: every node and the logits are those of f64',
    { timeout: 60_000 },
    async (_, options) => {
      const bytes = await makeModel(options);
      expect(checkModel(await openGguf(bytes))).toMatchObject({ problems: [], warnings: [] });
      await expectRight(bytes);
    },
  );

  test.each(MODELS)(
    '%s: the same bits from all kernels and 1, 2 and 3 threads',
    { timeout: 60_000 },
    async (_, options) => {
      await expectSameEverywhere(await makeModel(options), IDS);
    },
  );

  test.each(TYPES)('%s takes the memory that the check says', { timeout: 60_000 }, async (type) => {
    const bytes = await makeModel({
      linear: type,
      embedding: embeddingFor(type),
      output: embeddingFor(type),
      biases: true,
    });
    const { memory } = checkModel(await openGguf(bytes));
    using model = await loadModel(bytes, { threads: 1 });
    using session = model.createSession();
    expect(session.contextLength).toBe(64);
    const others = model.memoryBytes - (memory!.weights + memory!.cache + memory!.activations);
    expect(others).toBeGreaterThan(0);
    expect(others).toBeLessThan(1e6);
  });

  test('TQ1_0 and TQ2_0 of the same weights give the same bits', { timeout: 60_000 }, async () => {
    const digests = await Promise.all(
      (['TQ1_0', 'TQ2_0'] as const).map(async (type) => {
        using model = await loadModel(await makeModel({ linear: type, embedding: type }), { threads: 1 });
        return (await allLogits(model.createSession(), IDS)).map(digest).join();
      }),
    );
    expect(digests[0]).toBe(digests[1]);
  });

  // F32 and F16 products of one row have another order than those of several.
  test.each(TYPES)('%s: a prompt that keeps a prefix has the bits of one that does not', async (type) => {
    using model = await loadModel(await makeModel({ linear: type, embedding: embeddingFor(type) }), { threads: 1 });
    const prompt = [...IDS, 9, 8, 7, 60];
    using fresh = model.createSession();
    const row = digest(await fresh.prompt(prompt));
    const next = digest(await fresh.evaluate([5]));
    for (const before of [1, 2, 4, 9]) {
      using session = model.createSession();
      await session.prompt([...prompt.slice(0, before), 33]);
      for (const id of [1, 2]) await session.evaluate([id]);
      expect(session.reusable(prompt)).toBe(Math.min(before, prompt.length - 2));
      expect(digest(await session.prompt(prompt))).toBe(row);
      expect(digest(await session.evaluate([5]))).toBe(next);
    }
    // Ids that were evaluated alone are not kept, because they have other bits.
    using alone = model.createSession();
    for (const id of prompt) await alone.evaluate([id]);
    expect(alone.reusable(prompt)).toBe(0);
    expect(digest(await alone.prompt(prompt))).toBe(row);
  });

  test('a saved session is not one of the same bytes under another name', async () => {
    const options = { linear: 'F32', embedding: 'F32', biases: true, scales: true } as const;
    const bytes = await makeModel(options);
    using model = await loadModel(bytes, { threads: 1 });
    using session = model.createSession();
    await session.prompt(IDS);
    const saved = session.save();
    expect(model.restoreSession(saved).ids()).toEqual(IDS);
    for (const [tensor, at] of [
      ['blk.1.attn_k.bias', 4],
      ['blk.1.ffn_up.scale', 0],
    ] as const) {
      const changed = bytes.slice();
      const { offsetBytes } = (await openGguf(changed)).tensors.get(tensor)!;
      new DataView(changed.buffer).setFloat32(offsetBytes + at, 0.125, true);
      using other = await loadModel(changed, { threads: 1 });
      expect(() => other.restoreSession(saved)).toThrow(expect.objectContaining({ code: 'ENGINE_SESSION_MISMATCH' }));
    }
  });

  test('the screened head is made of an F16 head of its own', async () => {
    const bytes = await makeModel({ linear: 'Q8_0', embedding: 'F32', output: 'F16' });
    using model = await loadModel(bytes, { threads: 1, head: 'screened' });
    using exact = model.createSession();
    using screened = model.createSession({ head: 'screened', topK: 5 });
    const row = await exact.prompt(IDS);
    const { ids, logits } = await screened.prompt(IDS);
    const largest = [...row.keys()].toSorted((a, b) => row[b]! - row[a]! || a - b).slice(0, 5);
    expect([...ids]).toEqual(largest);
    expect([...logits]).toEqual(largest.map((id) => row[id]));
  });

  test.each([
    ['token_embd.weight', { linear: 'F16', embedding: 'Q8_0' }],
    ['output.weight', { linear: 'F16', embedding: 'F16', output: 'BF16' }],
  ] as const)('and not of another: %s', async (name, options) => {
    const bytes = await makeModel(options);
    const { problems } = checkModel(await openGguf(bytes), { head: 'screened' });
    expect(problems).toMatchObject([{ code: 'ENGINE_NO_SCREEN', tensors: [name] }]);
    await expect(loadModel(bytes, { head: 'screened' })).rejects.toMatchObject({ code: 'ENGINE_NO_SCREEN' });
    using model = await loadModel(bytes, { threads: 1 });
    expect(() => model.createSession({ head: 'screened' })).toThrow(
      expect.objectContaining({ code: 'ENGINE_NO_SCREEN' }),
    );
  });

  test('a head of its own is used', { timeout: 60_000 }, async () => {
    using tied = await loadModel(await makeModel({ linear: 'F32', embedding: 'F32' }), { threads: 1 });
    using own = await loadModel(await makeModel({ linear: 'F32', embedding: 'F32', output: 'F32' }), { threads: 1 });
    const [a, b] = [await allLogits(tied.createSession(), IDS), await allLogits(own.createSession(), IDS)];
    expect(a.map(digest)).not.toEqual(b.map(digest));
  });
});

describe.each(RECORDED.slice(0, 2))('$name in other types', ({ model: url }) => {
  const ternary = readBytes(url);
  test.each([
    ['F32', true],
    ['F16', true],
    ['TQ1_0', false],
    ['TQ2_0', true],
  ] as const)('%s, with .scale tensors: %s', { timeout: 60_000 }, async (type, scaled) => {
    const bytes = await rewritten(ternary, type, scaled);
    const plain = await f64.readModel(await openGguf(bytes));
    using model = await loadModel(bytes, { threads: 1 });
    using session = model.createSession();
    expectNodes(plain, await traced(session, IDS), IDS);
  });
});
