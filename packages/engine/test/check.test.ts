import { openGguf } from '@bittern/gguf-parser';
import { expect, test } from 'vitest';
import { checkModel, loadModel, type ModelCheck } from '../src/index.ts';
import { RECORDED, tinyBytes } from './fixtures.ts';
import { readBytes } from './parity.ts';
import { rename, setTensorType, setValue, swapDims } from './patch.ts';

const good = tinyBytes();
const key = (name: string): string => `bitnet-b1.58.${name}`;
const check = async (bytes: Uint8Array<ArrayBuffer>): Promise<ModelCheck> => checkModel(await openGguf(bytes));
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

test('every problem is reported, in the order of loading, and only the first is thrown', async () => {
  let bytes = rename(good, key('context_length'), key('context_lengt#'));
  bytes = setValue(bytes, key('rope.dimension_count'), 32);
  bytes = await setTensorType(bytes, 'token_embd.weight', 30);
  bytes = rename(bytes, 'blk.0.attn_q.weight', 'blk.0.attn_z.weight');
  bytes = swapDims(bytes, 'blk.2.ffn_gate.weight');
  const result = await check(bytes);
  expect(messages(result)).toEqual([
    `ENGINE_INVALID_METADATA Key "${key('context_length')}" is undefined, not a positive number.`,
    expect.stringContaining('ENGINE_UNSUPPORTED_MODEL'),
    expect.stringContaining('ENGINE_TENSOR_MISMATCH Tensor "token_embd.weight" is BF16'),
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
