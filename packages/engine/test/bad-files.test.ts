import { GgufError, openGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import { EngineError, type EngineErrorCode, generate, loadModel, TL1_KERNELS, type Tl1Tilings } from '../src/index.ts';
import { makeModel, type MakeOptions } from './f64/make-model.ts';
import { tinyBytes } from './fixtures.ts';
import { f32, rename, setData, setTensorType, setValue, swapDims, toTl1 } from './patch.ts';

const good = tinyBytes();

type Patch = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;

const key = (name: string): string => `bitnet-b1.58.${name}`;
const without =
  (name: string): Patch =>
  (bytes) =>
    rename(bytes, key(name), `${key(name).slice(0, -1)}#`);
const having =
  (name: string, value: number): Patch =>
  (bytes) =>
    setValue(bytes, key(name), value);

const BAD_MODELS: readonly (readonly [what: string, code: EngineErrorCode, patch: Patch, message: RegExp])[] = [
  [
    'an unknown architecture',
    'ENGINE_UNSUPPORTED_ARCHITECTURE',
    (b) => rename(b, 'bitnet-b1.58', 'bitnet-b9.99'),
    /"bitnet-b9.99"/,
  ],
  [
    'no architecture',
    'ENGINE_UNSUPPORTED_ARCHITECTURE',
    (b) => rename(b, 'general.architecture', 'general.architectur#'),
    /undefined/,
  ],

  ['no block count', 'ENGINE_INVALID_METADATA', without('block_count'), /block_count" is undefined/],
  ['no context length', 'ENGINE_INVALID_METADATA', without('context_length'), /context_length/],
  ['no epsilon', 'ENGINE_INVALID_METADATA', without('attention.layer_norm_rms_epsilon'), /layer_norm_rms_epsilon/],
  ['no layers', 'ENGINE_INVALID_METADATA', having('block_count', 0), /block_count" is 0/],
  ['an epsilon of NaN', 'ENGINE_INVALID_METADATA', having('attention.layer_norm_rms_epsilon', Number.NaN), /is NaN/],
  ['an infinite RoPE base', 'ENGINE_INVALID_METADATA', having('rope.freq_base', Infinity), /is Infinity/],
  ['a negative RoPE base', 'ENGINE_INVALID_METADATA', having('rope.freq_base', -1), /is -1/],

  ['heads that do not divide the width', 'ENGINE_UNSUPPORTED_MODEL', having('attention.head_count', 3), /256 \/ 3/],
  [
    'KV heads that do not divide the heads',
    'ENGINE_UNSUPPORTED_MODEL',
    having('attention.head_count_kv', 3),
    /3 kv heads/,
  ],
  ['partial rotation', 'ENGINE_UNSUPPORTED_MODEL', having('rope.dimension_count', 32), /RoPE turns 32/],
  ['another vocabulary size', 'ENGINE_UNSUPPORTED_MODEL', having('vocab_size', 511), /vocab_size.* is 511.* 512 rows/],
  [
    'a width that is no multiple of 128',
    'ENGINE_UNSUPPORTED_MODEL',
    having('feed_forward_length', 700),
    /feed_forward_length 700/,
  ],

  [
    'a renamed tensor',
    'ENGINE_MISSING_TENSOR',
    (b) => rename(b, 'blk.0.attn_q.weight', 'blk.0.attn_z.weight'),
    /blk\.0\.attn_q\.weight/,
  ],
  [
    'no output norm',
    'ENGINE_MISSING_TENSOR',
    (b) => rename(b, 'output_norm.weight', 'output_norn.weight'),
    /output_norm/,
  ],
  ['a layer too few', 'ENGINE_MISSING_TENSOR', having('block_count', 5), /blk\.4\.attn_norm\.weight/],
  ['a layer too many', 'ENGINE_UNUSED_TENSOR', having('block_count', 3), /11 tensor\(s\).*blk\.3\./],

  [
    'a norm of another type',
    'ENGINE_TENSOR_MISMATCH',
    (b) => setTensorType(b, 'blk.1.attn_norm.weight', 26),
    /is I32 \[256\].*F32 \[256\]/,
  ],
  [
    'an embedding of another type',
    'ENGINE_TENSOR_MISMATCH',
    (b) => setTensorType(b, 'token_embd.weight', 25),
    /is I16 .* needs F32, F16, BF16, Q8_0, Q4_0, Q6_K, TQ1_0 or TQ2_0 /,
  ],
  ['a TL1 matrix', 'ENGINE_TENSOR_MISMATCH', (b) => setTensorType(b, 'blk.3.ffn_up.weight', 38), /is TL1/],
  [
    'a transposed matrix',
    'ENGINE_TENSOR_MISMATCH',
    (b) => swapDims(b, 'blk.2.ffn_gate.weight'),
    /\[256, 768\].*\[768, 256\]/,
  ],
  [
    'a matrix of other KV heads',
    'ENGINE_TENSOR_MISMATCH',
    having('attention.head_count_kv', 4),
    /attn_k.*\[128, 256\].*\[256, 256\]/,
  ],
  [
    'a scale of NaN',
    'ENGINE_INVALID_WEIGHTS',
    (b) => setData(b, 'blk.0.attn_v.weight', -32, f32(Number.NaN)),
    /scale of tensor "blk.0.attn_v.weight" is NaN/,
  ],
  [
    'an infinite scale',
    'ENGINE_INVALID_WEIGHTS',
    (b) => setData(b, 'blk.3.ffn_down.weight', -32, f32(-Infinity)),
    /is -Infinity/,
  ],
];

describe('a model that cannot be run', () => {
  test('the file that is patched is good', async () => {
    using model = await loadModel(good);
    expect(model.config.blockCount).toBe(4);
  });

  test.each(BAD_MODELS)('%s is refused with %s', async (_, code, patch, message) => {
    const bytes = await patch(good);
    const error = await loadModel(bytes).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ name: 'EngineError', code, message: expect.stringMatching(message) });
  });

  test.each([0x7c00, 0xfc00, 0x7e01])('an embedding with the f16 %i, not a finite number, is refused', async (bits) => {
    const at = 2 * (256 * 17 + 5); // row 17
    const bytes = await setData(good, 'token_embd.weight', at, Uint8Array.of(bits & 0xff, bits >> 8));
    await expect(loadModel(bytes)).rejects.toMatchObject({
      code: 'ENGINE_INVALID_WEIGHTS',
      message: expect.stringMatching(/"token_embd.weight".*row 17/),
    });
  });

  test.each([0, 4095, 16_384 - 1])('the code 3 in byte %i of a matrix is refused', async (at) => {
    const bytes = await setData(good, 'blk.1.attn_q.weight', at, Uint8Array.of(0b01_11_00_10));
    const error = await loadModel(bytes).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({
      code: 'ENGINE_INVALID_WEIGHTS',
      message: expect.stringContaining('"blk.1.attn_q.weight"'),
    });
  });

  test('a norm weight of NaN surfaces when an id is chosen', async () => {
    using model = await loadModel(await setData(good, 'output_norm.weight', 4, f32(Number.NaN)));
    const session = model.createSession();
    const logits = await session.evaluate([1, 2]);
    await expect(generate(session, logits, { maxTokens: 1 }).next()).rejects.toMatchObject({
      code: 'ENGINE_NOT_FINITE',
    });
  });
});

describe("weights in llama.cpp's types that cannot be", () => {
  const nan = Uint8Array.of(0x01, 0x7e); // f16
  const infinity = Uint8Array.of(0x80, 0x7f); // bf16
  const BAD_WEIGHTS: readonly (readonly [string, MakeOptions, string, number, Uint8Array, RegExp])[] = [
    ['F32', { linear: 'F32', embedding: 'F32' }, 'blk.0.attn_q.weight', 4 * (256 * 9 + 3), f32(Infinity), /row 9/],
    ['BF16', { linear: 'BF16', embedding: 'F32' }, 'blk.1.ffn_up.weight', 2 * 256 * 11, infinity, /row 11/],
    ['Q8_0', { linear: 'Q8_0', embedding: 'F32' }, 'blk.0.ffn_down.weight', 34 * 16 * 5, nan, /scale .* row 5/],
    ['Q4_0', { linear: 'Q4_0', embedding: 'F32' }, 'blk.0.attn_k.weight', 18 * (8 * 3 + 7), nan, /scale .* row 3/],
    ['Q6_K', { linear: 'F32', embedding: 'Q6_K' }, 'token_embd.weight', 210 * 7 + 208, nan, /scale .* row 7/],
    ['TQ1_0', { linear: 'TQ1_0', embedding: 'F32' }, 'blk.0.ffn_down.weight', 54 * 13 + 52, nan, /scale .* row 6/],
    ['TQ2_0', { linear: 'TQ2_0', embedding: 'F32' }, 'blk.0.attn_v.weight', 66 * 2 + 64, nan, /scale .* row 2/],
    ['.scale', { linear: 'TQ2_0', embedding: 'F32', scales: true }, 'blk.1.attn_k.scale', 0, f32(Number.NaN), /is NaN/],
    [
      'rope_freqs',
      { linear: 'F32', embedding: 'F32', ropeFreqs: true },
      'rope_freqs.weight',
      8,
      f32(0),
      /divides by 0/,
    ],
  ];
  test.each(BAD_WEIGHTS)('%s', async (_, options, tensor, at, data, message) => {
    const bytes = await setData(await makeModel(options), tensor, at, data);
    await expect(loadModel(bytes)).rejects.toMatchObject({
      name: 'EngineError',
      code: 'ENGINE_INVALID_WEIGHTS',
      message: expect.stringMatching(message),
    });
  });
});

describe('a llama model that cannot be run', async () => {
  const llama = await makeModel({ linear: 'Q8_0', embedding: 'F16', output: 'Q6_K', biases: true, keyLength: 32 });
  const cases: readonly (readonly [string, EngineErrorCode, Patch, RegExp])[] = [
    [
      'values of another length than keys',
      'ENGINE_UNSUPPORTED_MODEL',
      (b) => setValue(b, 'llama.attention.value_length', 64),
      /keys have 32 dimensions and its values 64/,
    ],
    [
      'no keys at all',
      'ENGINE_INVALID_METADATA',
      (b) => setValue(b, 'llama.attention.key_length', 0),
      /key_length" is 0/,
    ],
    [
      'a key length that is not that of the weights',
      'ENGINE_TENSOR_MISMATCH',
      (b) => setValue(setValue(b, 'llama.attention.key_length', 64), 'llama.attention.value_length', 64),
      /attn_q\.weight" is Q8_0 \[128, 256\]; this model needs Q8_0 \[256, 256\]/,
    ],
    [
      'a bias of another type',
      'ENGINE_TENSOR_MISMATCH',
      (b) => setTensorType(b, 'blk.0.attn_k.bias', 26),
      /attn_k\.bias" is I32/,
    ],
    [
      'an embedding of a type that is not supported',
      'ENGINE_TENSOR_MISMATCH',
      (b) => setTensorType(b, 'token_embd.weight', 25),
      /"token_embd.weight" is I16/,
    ],
    [
      'tensors of a mixture of experts',
      'ENGINE_UNUSED_TENSOR',
      (b) => rename(b, 'blk.1.ffn_up.bias', 'blk.1.ffn_gate_in'),
      /ffn_gate_in/,
    ],
  ];
  test.each(cases)('%s', async (_, code, patch, message) => {
    await expect(loadModel(await patch(llama))).rejects.toMatchObject({
      name: 'EngineError',
      code,
      message: expect.stringMatching(message),
    });
  });
});

describe('TL1 tilings', async () => {
  const tiling = {
    '256x256': [128, 64, 32],
    '128x256': [128, 64, 32],
    '768x256': [256, 128, 64],
    '256x768': [128, 64, 32],
  } as const;
  const tl1 = await toTl1(good, tiling);

  async function failure(bytes: Uint8Array<ArrayBuffer>, tl1Tiling?: unknown): Promise<unknown> {
    const error = await loadModel(bytes, tl1Tiling === undefined ? {} : { tl1Tiling: tl1Tiling as Tl1Tilings }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(EngineError);
    return error;
  }

  test('the file that is patched is good', async () => {
    using model = await loadModel(tl1, { tl1Tiling: tiling });
    expect(model.tl1Kernel).toBe('transcode');
  });

  test('none: the message says what is missing and why it must be given', async () => {
    expect(await failure(tl1)).toMatchObject({
      code: 'ENGINE_TL1_TILING',
      message: expect.stringMatching(/kernel_config\.ini.*"256x256".*"128x256".*"768x256".*"256x768"/),
    });
  });

  test('not for all shapes: the message names those that lack one', async () => {
    const { '256x256': square, '256x768': wide } = tiling;
    const error = (await failure(tl1, { '256x256': square, '256x768': wide })) as EngineError;
    expect(error).toMatchObject({ code: 'ENGINE_TL1_TILING', message: expect.stringMatching(/"128x256".*"768x256"/) });
    expect(error.message).not.toMatch(/256x256|256x768/);
  });

  test.each([
    ['no array', { bm: 128 }, /three whole numbers/],
    ['null', null, /three whole numbers/],
    ['two numbers', [128, 64], /three whole numbers/],
    ['a zero', [128, 0, 32], /three whole numbers/],
    ['a fraction', [128, 64.5, 32], /three whole numbers/],
    ['text', ['128', '64', '32'], /three whole numbers/],
    ['bm 16', [128, 64, 16], /bm must be 32 or 64/],
    ['BM no multiple of bm', [96, 64, 64], /BM must be a multiple of bm/],
    ['BBK of half a step', [128, 4, 32], /BBK must be a multiple of 256 \/ bm, 8/],
    ['rows that are no multiple of BM', [96, 64, 32], /256 rows/],
    ['columns that are no multiple of BBK', [128, 96, 32], /256 columns/],
  ])('%s', async (_, bad, message) => {
    expect(await failure(tl1, { ...tiling, '256x256': bad })).toMatchObject({
      code: 'ENGINE_TL1_TILING',
      message: expect.stringMatching(message),
    });
  });

  test.each(TL1_KERNELS)('a pair code above 8 is refused (%s), and the row is named', async (tl1Kernel) => {
    // Byte 2 of the last vector: row 96 + 16 + 2 of the last tile of 128 rows.
    const bytes = await setData(tl1, 'blk.1.attn_q.weight', 16_384 - 14, Uint8Array.of(0x19));
    await expect(loadModel(bytes, { tl1Kernel, tl1Tiling: tiling })).rejects.toMatchObject({
      code: 'ENGINE_INVALID_WEIGHTS',
      message: expect.stringMatching(/"blk\.1\.attn_q\.weight" holds a pair code above 8 in row 242,/),
    });
  });

  test('a scale of NaN is refused', async () => {
    const bytes = await setData(tl1, 'blk.0.attn_v.weight', -32, f32(Number.NaN));
    expect(await failure(bytes, tiling)).toMatchObject({ message: expect.stringMatching(/scale of .* is NaN/) });
  });

  test('I2_S and TL1 matrices in one file are refused', async () => {
    const bytes = setTensorType(tl1, 'blk.3.ffn_up.weight', 36);
    expect(await failure(bytes, tiling)).toMatchObject({
      code: 'ENGINE_TENSOR_MISMATCH',
      message: expect.stringMatching(/is I2_S .*needs TL1/),
    });
  });
});

describe('a file that is damaged', () => {
  test('is refused wherever it is cut', async () => {
    const { dataOffsetBytes } = await openGguf(good);
    const evenly = Array.from({ length: 64 }, (_, index) => Math.floor((good.length * index) / 64));
    const lengths = [1, 4, 23, 24, 1000, dataOffsetBytes - 1, dataOffsetBytes, good.length - 1, ...evenly];
    let refused = 0;
    for (const length of lengths) {
      const error = await loadModel(good.slice(0, length)).catch((reason: unknown) => reason);
      expect(error, `${length} bytes`).toBeInstanceOf(GgufError);
      refused += 1;
    }
    expect(refused).toBe(72);
  });

  test('a source that fails while the weights are read fails the load', async () => {
    const gguf = await openGguf(good);
    const failure = new Error('disk on fire');
    const source = { name: 'bad', sizeBytes: good.length, read: () => Promise.reject(failure) };
    await expect(loadModel({ ...gguf, source })).rejects.toBe(failure);
  });
});
