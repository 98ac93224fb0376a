import { openGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import {
  checkModel,
  type CheckModelOptions,
  loadModel,
  type ModelCheck,
  TL1_KERNELS,
  type Tl1Tilings,
} from '../src/index.ts';
import { RECORDED, tinyBytes } from './fixtures.ts';
import { readBytes } from './parity.ts';
import { rename, setTensorType, setValue, swapDims, toTl1 } from './patch.ts';

const good = tinyBytes();
const key = (name: string): string => `bitnet-b1.58.${name}`;
const check = async (bytes: Uint8Array<ArrayBuffer>, options?: CheckModelOptions): Promise<ModelCheck> =>
  checkModel(await openGguf(bytes), options);
const messages = ({ problems }: ModelCheck): string[] => problems.map(({ code, message }) => `${code} ${message}`);

test.each(RECORDED)('$name can run, and takes the memory that the check says', async ({ model: url }) => {
  const bytes = readBytes(url);
  const { problems, warnings, config, memory } = await check(bytes);
  expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  using model = await loadModel(bytes, { threads: 1 });
  expect(config).toEqual(model.config);
  using session = model.createSession();
  expect(session.contextLength).toBe(config!.contextLength);
  const { weights, cache, activations } = memory!;
  // Beside these: the kernels' constants (a page), what was staged while loading, and padding to 64 bytes and a page.
  const others = model.memoryBytes - (weights + cache + activations);
  expect(others).toBeGreaterThan(0);
  expect(others).toBeLessThan(1e6);
});

test('what an f32 cache and a screened session take besides', async () => {
  const plain = (await check(good)).memory!;
  for (const kvType of ['f16', 'f32'] as const) {
    for (const head of ['exact', 'screened'] as const) {
      const { memory, config } = await check(good, { kvType, head });
      const { weights, cache, activations } = memory!;
      expect(cache).toBe(kvType === 'f16' ? plain.cache : 2 * plain.cache);
      using model = await loadModel(good.slice(), { threads: 1, head });
      using session = head === 'exact' ? model.createSession({ kvType }) : model.createSession({ kvType, head });
      expect(session.contextLength).toBe(config!.contextLength);
      const others = model.memoryBytes - (weights + cache + activations);
      expect({ kvType, head, fits: others > 0 && others < 1e6 }).toEqual({ kvType, head, fits: true });
    }
  }
  const screened = (await check(good, { head: 'screened' })).memory!;
  const { vocabSize, embeddingLength } = (await check(good)).config!;
  // input in two bytes a value, four bounds, two bounds of each row, the 40 largest twice, and a quarter of the rows as candidates
  expect(screened.activations - plain.activations).toBe(
    256 * Math.ceil(embeddingLength / 128) + 32 + 8 * vocabSize + 2 * 4 * 40 + 4 * (1 + vocabSize / 4),
  );
});

test('every problem is reported, in the order of loading, and only the first is thrown', async () => {
  let bytes = rename(good, key('context_length'), key('context_lengt#'));
  bytes = setValue(bytes, key('rope.dimension_count'), 32);
  bytes = await setTensorType(bytes, 'token_embd.weight', 25);
  bytes = rename(bytes, 'blk.0.attn_q.weight', 'blk.0.attn_z.weight');
  bytes = swapDims(bytes, 'blk.2.ffn_gate.weight');
  const result = await check(bytes);
  expect(messages(result)).toEqual([
    `ENGINE_INVALID_METADATA Key "${key('context_length')}" is undefined, not a positive number.`,
    expect.stringContaining('ENGINE_UNSUPPORTED_MODEL'),
    expect.stringContaining('ENGINE_TENSOR_MISMATCH Tensor "token_embd.weight" is I16'),
    'ENGINE_MISSING_TENSOR Tensor "blk.0.attn_q.weight" is missing.',
    expect.stringContaining('ENGINE_TENSOR_MISMATCH Tensor "blk.2.ffn_gate.weight"'),
    expect.stringContaining('ENGINE_UNUSED_TENSOR The file holds 1 tensor(s)'),
  ]);
  expect(result.problems.map(({ tensors }) => tensors)).toEqual([
    [],
    [],
    ['token_embd.weight'],
    ['blk.0.attn_q.weight'],
    ['blk.2.ffn_gate.weight'],
    ['blk.0.attn_z.weight'],
  ]);
  for (const { fix } of result.problems) expect(fix).toMatch(/^[A-Z].*[.?]$/);
  expect(result).toMatchObject({ config: undefined, memory: undefined });
  await expect(loadModel(bytes)).rejects.toMatchObject({ code: 'ENGINE_INVALID_METADATA' });
});

test('a key that is broken does not bring problems of keys that default to it', async () => {
  const bytes = rename(good, key('attention.head_count_kv'), key('attention.head_count_k#'));
  const broken = rename(bytes, key('attention.head_count'), key('attention.head_coun#'));
  const dimensions = rename(broken, key('rope.dimension_count'), key('rope.dimension_coun#'));
  expect(messages(await check(dimensions))).toEqual([
    `ENGINE_INVALID_METADATA Key "${key('attention.head_count')}" is undefined, not a positive number.`,
  ]);
});

test('layers that are not there at all are one problem, however many', async () => {
  const { problems } = await check(setValue(good, key('block_count'), 4_000_000_000));
  expect(problems).toHaveLength(1);
  expect(problems[0]!.message).toBe(
    'Tensor "blk.4.attn_norm.weight" is missing, and with it all of the 3999999996 layers 4 to 3999999999; block_count is 4000000000.',
  );
});

test('every unused tensor is named', async () => {
  const { problems } = await check(setValue(good, key('block_count'), 3));
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatchObject({ code: 'ENGINE_UNUSED_TENSOR' });
  expect(problems[0]!.tensors).toHaveLength(11);
});

test('a big-endian file is refused, whatever else it is', async () => {
  const gguf = { ...(await openGguf(good)), byteOrder: 'big' as const };
  expect(checkModel(gguf).problems).toMatchObject([{ code: 'ENGINE_BIG_ENDIAN' }]);
  await expect(loadModel(gguf)).rejects.toMatchObject({ name: 'EngineError', code: 'ENGINE_BIG_ENDIAN' });
});

test('metadata of another type than numbers is told apart', async () => {
  const text = rename(good, 'general.architecture', 'general.architectur#');
  expect(messages(await check(text))).toEqual([
    'ENGINE_UNSUPPORTED_ARCHITECTURE Architecture undefined (general.architecture) is not supported.',
  ]);
  const bytes = good.slice();
  bytes[Buffer.from(bytes.buffer).indexOf('bitnet-b1.58')] = 0xff;
  await expect(loadModel(bytes)).rejects.toMatchObject({ code: 'ENGINE_UNSUPPORTED_ARCHITECTURE' });
});

describe('TL1', async () => {
  const tl1Tiling: Tl1Tilings = {
    '256x256': [128, 64, 32],
    '128x256': [128, 64, 32],
    '768x256': [256, 128, 64],
    '256x768': [128, 64, 32],
  };
  const tl1 = await toTl1(good, tl1Tiling);

  test.each(TL1_KERNELS)(
    'can run with its tilings, and takes the memory that the check says: %s',
    async (tl1Kernel) => {
      const { problems, warnings, memory } = await check(tl1, { tl1Tiling, tl1Kernel });
      expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
      using model = await loadModel(tl1, { tl1Tiling, tl1Kernel, threads: 1 });
      using session = model.createSession();
      const { weights, cache, activations } = memory!;
      const others = model.memoryBytes - (weights + cache + activations);
      expect(session.contextLength).toBe(1024);
      expect(others).toBeGreaterThan(0);
      expect(others).toBeLessThan(1e6);
    },
  );

  test('the tables of the widest row count as scratch', async () => {
    // So wide and with so few cells, the products need more scratch than attention. That the weights are narrower is a
    // problem by itself.
    const wide = setValue(setValue(tl1, key('feed_forward_length'), 32_768), key('context_length'), 32);
    const transcode = await check(wide, { tl1Tiling });
    const lut = await check(wide, { tl1Tiling, tl1Kernel: 'lut' });
    expect(lut.memory!.weights).toBe(transcode.memory!.weights);
    expect(lut.memory!.activations - transcode.memory!.activations).toBe(16 * 32_768 - (8 * 32_768 + 65 * 384));
  });

  test('tilings that are wrong or missing are problems, each once, with the tensors that they are of', async () => {
    const { problems, config, memory } = await check(tl1, {
      tl1Tiling: { '256x768': [96, 96, 64], '128x256': [96, 64, 32] },
    });
    expect(problems.map(({ code, message }) => [code, message])).toEqual([
      ['ENGINE_TL1_TILING', 'The TL1 tiling of "128x256" is [96,64,32]: 128 rows are no multiple of BM.'],
      ['ENGINE_TL1_TILING', 'The TL1 tiling of "256x768" is [96,96,64]: BM must be a multiple of bm.'],
      [
        'ENGINE_TL1_TILING',
        expect.stringMatching(/not in the file\. Missing tilings: \{ "256x256": .*, "768x256": .* \}\.$/),
      ],
    ]);
    const { tensors } = await openGguf(tl1);
    const named = problems.flatMap((problem) => problem.tensors);
    const ternary = [...tensors.values()].filter(({ type }) => type === 'TL1').map(({ name }) => name);
    expect(named.toSorted()).toEqual(ternary.toSorted());
    for (const { fix } of problems) expect(fix).toMatch(/bm, bk and bmm/);
    expect(config).toBeDefined();
    expect(memory).toBeDefined();
  });

  test('a file of both types: those of which there are fewer are the problem', async () => {
    const { problems } = await check(setTensorType(tl1, 'blk.0.attn_q.weight', 36), { tl1Tiling });
    expect(problems).toMatchObject([
      {
        code: 'ENGINE_TENSOR_MISMATCH',
        message: expect.stringMatching(/is I2_S .*needs TL1/),
        fix: expect.stringMatching(/I2_S, or all in TL1/),
        tensors: ['blk.0.attn_q.weight'],
      },
    ]);
  });

  test('options are checked', async () => {
    await expect(check(tl1, { tl1tiling: tl1Tiling } as CheckModelOptions)).rejects.toThrow(TypeError);
    await expect(check(tl1, { tl1Kernel: 'table' as 'lut' })).rejects.toThrow(RangeError);
  });
});
