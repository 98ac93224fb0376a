import { beforeAll, describe, expect, test } from 'vitest';
import { chooseKernels, expectBelieved, predicateOf, receiptOf, verify } from './receipt-support.ts';
import { fileOf } from './support.ts';
import { MIXED, type TypedModel, typedModel, type WeightType } from './typed-model.ts';

// Receipts of models in all types of weights: the verifier knows from their shape alone what each kernel has done.

// Before a model is loaded.
beforeAll(async () => {
  await chooseKernels('relaxed', 1, { gemv: 'plain', gemm: 'i16' });
  await chooseKernels('relaxed', 2, { gemv: 'i16', gemm: 'wide' });
});

async function modelFile(model: TypedModel): Promise<string> {
  return fileOf(await typedModel(model), 'typed.gguf');
}

const BOTH_BINARIES = ['relaxed', 'simd128'] as const;

const QUANTIZED: readonly WeightType[] = ['I2_S', 'Q8_0', 'Q4_0', 'Q6_K', 'TQ1_0', 'TQ2_0'];
const TYPES: readonly WeightType[] = [...QUANTIZED, 'F32', 'F16', 'BF16'];

describe.each(TYPES)('linear layers of %s', (type) => {
  test('architecture llama, embedding and head of the same', async () => {
    const embedding = type === 'I2_S' ? 'F16' : type;
    const model = await modelFile({ architecture: 'llama', linear: type, embedding });
    const path = await receiptOf(['-m', model]);
    await expectBelieved(path, model);
    const { gates, code, reasons } = await verify(path, '--require-quantized-kernels');
    const isQuantized = QUANTIZED.includes(type);
    expect({ code, gate: gates['quantized-kernels'] }).toEqual(
      isQuantized ? { code: 0, gate: 'pass' } : { code: 1, gate: 'fail' },
    );
    expect(reasons['quantized-kernels']).toContain(`${type} weights`);
  });
});

test.each(BOTH_BINARIES)('many types in one file, biases, scales, heads of another size: %s', async (variant) => {
  const model = await modelFile(MIXED);
  const path = await receiptOf(['-m', model, '--kernels', variant, '--threads', '2', '--kv-type', 'f32']);
  const { model: found, counters } = await predicateOf(path);
  expect(found.weights).toMatchObject({ embedding: 'Q4_0', head: 'Q6_K', layers: [{ count: 1 }, {}, { count: 1 }] });
  const products = counters.decode.flatMap(({ id }) => /^(.*)_gemm_/.exec(id)?.[1] ?? []);
  expect(products.toSorted()).toEqual(['bf16', 'q4_0', 'q6_k', 'q8_0', 'tq2_0']);
  await expectBelieved(path, model);
  const { failed, reasons } = await verify(path, '--require-quantized-kernels');
  expect({ failed, reason: reasons['quantized-kernels'] }).toEqual({
    failed: ['quantized-kernels'],
    reason: 'the layers have BF16 weights, which are not quantized',
  });
});

test.each(['I2_S', 'F16'] as const)('a screened head of its own, linear layers of %s', async (linear) => {
  const model = await modelFile({ architecture: 'llama', linear, embedding: 'F32', head: 'F16' });
  await expectBelieved(await receiptOf(['-m', model, '--head', 'screened']), model);
});

test.each(['bitnet', 'bitnet-25', 'bitnet-b1.58'] as const)('%s with biases and scales, Q8_0', async (architecture) => {
  const model = await modelFile({ architecture, linear: 'Q8_0', embedding: 'BF16', biases: true, scales: true });
  await expectBelieved(await receiptOf(['-m', model]), model);
});

// Around the numbers of rows at which micro-batches end and attention is cut into pieces.
test.each([1, 64, 65, 66, 513, 577, 900])('a prompt of %i tokens', async (length) => {
  const model = await modelFile({ architecture: 'llama', linear: 'F16', embedding: 'F16', scales: true });
  const path = await receiptOf(['-m', model, '-p', 'x'.repeat(length), '-n', '2', '--repeats', '1']);
  expect((await predicateOf(path)).prompt.ids).toHaveLength(length);
  expect(await verify(path)).toMatchObject({ code: 0, failed: [] });
});

test.each([
  [1, { gemv: 'plain', gemm: 'i16' }],
  [2, { gemv: 'i16', gemm: 'wide' }],
] as const)('I2_S products by other kernels of the relaxed binary: %i thread(s), %j', async (threads, wanted) => {
  const chosen = await chooseKernels('relaxed', threads, wanted);
  const model = await modelFile({ architecture: 'llama', linear: 'I2_S', embedding: 'F16', head: 'BF16' });
  const path = await receiptOf(['-m', model, '--kernels', 'relaxed', '--threads', String(threads)]);
  expect((await predicateOf(path)).kernels).toMatchObject(chosen);
  await expectBelieved(path, model, '--require-quantized-kernels');
});
