import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { GgufEditor, openGguf, writeGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import {
  bittern,
  changedModel,
  changeFloats,
  fileOf,
  flipWeight,
  MODEL,
  rawTensors,
  replaceText,
  setScale,
  setTensorType,
  setU32,
} from './support.ts';

const TINY = fileURLToPath(
  new URL('../../../tools/fixtures/tiny-random-bitnet/tiny-random-bitnet.i2_s.gguf', import.meta.url),
);
const LAYOUT = ['--layout', '128x32'];

async function check(path: string, ...options: string[]) {
  const { code, stdout, stderr } = await bittern(['compat-check', path, '--json', ...options]);
  expect(stderr).toBe('');
  return { code, document: JSON.parse(stdout) };
}

async function problemsOf(path: string): Promise<{ code: string; message: string; fix: string; tensors: string[] }[]> {
  const { code, document } = await check(path);
  expect({ code, verdict: document.verdict, compatible: document.compatible }).toEqual({
    code: 1,
    verdict: 'fail',
    compatible: false,
  });
  return document.problems;
}

describe('a file that can run', () => {
  test.each([MODEL, TINY])('%s: exit code 0, all its data was read', async (path) => {
    const { code, document } = await check(path, ...LAYOUT);
    expect({ code, document }).toEqual({
      code: 0,
      document: {
        file: path,
        verdict: 'pass',
        compatible: true,
        strict: false,
        problems: [],
        warnings: expect.any(Array),
        tensorsRead: rawTensors(await readFile(path)).length,
      },
    });
  });

  test('in words', async () => {
    const { code, stdout } = await bittern(['compat-check', MODEL, ...LAYOUT, '--strict']);
    expect(code).toBe(0);
    expect(stdout).toBe(`${MODEL}: can run here (0 problems, 0 warnings). The data of 90 tensors was read.\n`);
  });

  test('--show-kv adds every key', async () => {
    const { stdout } = await bittern(['compat-check', MODEL, '--show-kv']);
    expect(stdout).toMatch(/^Metadata: 27 keys$/m);
    expect(stdout.split('\n').filter((line) => line.startsWith('  '))).toHaveLength(27);
    const { document } = await check(MODEL, '--show-kv');
    expect(document.metadata).toMatchObject({ count: 27, shown: 27 });
    expect(document.metadata.entries).toHaveLength(27);
  });

  test('progress is shown to a person', async () => {
    const { stdout, stderr } = await bittern(['compat-check', MODEL], { isTTY: true });
    expect(stderr).toContain('\r\u001b[KChecking weights: 0 %');
    expect(stdout).not.toContain('\r');
  });
});

describe('a file with one matrix in F32', () => {
  /** The model with the weights of `blk.0.attn_q` as numbers. */
  const withNumbers = async (change: (weights: Float32Array) => void): Promise<string> => {
    const model = await readFile(MODEL);
    const gguf = await openGguf(model);
    const metadata = [...gguf.metadata.keys()].map(
      (key) => [key, gguf.metadata.typeOf(key)!, gguf.metadata.get(key)!] as const,
    );
    const weights = await gguf.dequantize('blk.0.attn_q.weight');
    change(weights);
    const tensors = [...gguf.tensors.values()].map(({ name, type, shape, offsetBytes, sizeBytes }) =>
      name === 'blk.0.attn_q.weight'
        ? { name, type: 'F32' as const, shape, data: new Uint8Array(weights.buffer) }
        : { name, type, shape, data: model.subarray(offsetBytes, offsetBytes + sizeBytes) },
    );
    return fileOf(writeGguf({ metadata, tensors, dialect: 'bitnet.cpp' }), 'model.gguf');
  };

  test('can run, and runs', async () => {
    const path = await withNumbers(() => {});
    expect(await check(path, ...LAYOUT)).toMatchObject({ code: 0, document: { compatible: true, tensorsRead: 90 } });
    const { code, stdout } = await bittern(['run', '-m', path, '-p', 'Once', '-n', '4']);
    expect(code).toBe(0);
    expect(stdout.length).toBeGreaterThan(0);
  });

  test('cannot run with an infinite weight', async () => {
    const path = await withNumbers((weights) => void (weights[1000] = Infinity));
    expect(await problemsOf(path)).toMatchObject([
      {
        code: 'ENGINE_INVALID_WEIGHTS',
        message: expect.stringMatching(/attn_q\.weight" holds NaN or infinity 1 times/),
      },
    ]);
  });
});

describe('warnings fail with --strict only', () => {
  const withIgnoredOutput = async (): Promise<string> => {
    const model = await readFile(MODEL);
    const gguf = await openGguf(model);
    const metadata = [...gguf.metadata.keys()].map(
      (key) => [key, gguf.metadata.typeOf(key)!, gguf.metadata.get(key)!] as const,
    );
    const tensors = [...gguf.tensors.values()].map(({ name, type, shape, offsetBytes, sizeBytes }) => ({
      name,
      type,
      shape,
      data: model.subarray(offsetBytes, offsetBytes + sizeBytes),
    }));
    const output = { name: 'output.weight', type: 'F32', shape: [1], data: new Uint8Array(4) } as const;
    return fileOf(writeGguf({ metadata, tensors: [...tensors, output], dialect: 'bitnet.cpp' }), 'model.gguf');
  };
  const withoutPre = async (): Promise<string> => {
    const editor = new GgufEditor(await openGguf(await readFile(MODEL)));
    return fileOf(editor.remove('tokenizer.ggml.pre').chunks(), 'model.gguf');
  };

  test.each([
    ['a pre-tokenizer that is not named', withoutPre, LAYOUT, /no pre-tokenizer \(key "tokenizer\.ggml\.pre"\)/],
    ['an output head that is ignored', withIgnoredOutput, LAYOUT, /"output\.weight" is ignored/],
    ['a layout that nobody has told', async () => MODEL, [], /128x32.*64x16.*--layout/],
    [
      'weights that are all equal',
      () =>
        changedModel((bytes) => {
          const { offsetBytes, elementCount } = rawTensors(bytes).find(({ name }) => name === 'blk.0.attn_q.weight')!;
          bytes.fill(0b01_01_01_01, offsetBytes, offsetBytes + elementCount / 4);
        }),
      LAYOUT,
      /All weights of tensor "blk\.0\.attn_q\.weight" are equal: 0 times/,
    ],
  ])('%s', async (_, make, options, message) => {
    const path = await make();
    const lenient = await check(path, ...options);
    expect(lenient).toMatchObject({ code: 0, document: { verdict: 'pass', compatible: true, problems: [] } });
    expect(lenient.document.warnings).toEqual([expect.stringMatching(message)]);
    const strict = await check(path, ...options, '--strict');
    expect(strict).toMatchObject({ code: 1, document: { verdict: 'fail', compatible: true, strict: true } });
    const { code, stdout } = await bittern(['compat-check', path, ...options, '--strict']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/: can run here, but not --strict \(0 problems, 1 warning\)/);
    expect(stdout).toMatch(/^warning: /m);
  });
});

describe('a file that cannot run ends with 1 and the reason', () => {
  test.each([
    ['cut short', (bytes: Buffer) => bytes.subarray(0, 2_000_000), 'GGUF_TENSOR_BEYOND_END', /2000000 bytes/],
    ['no GGUF', () => Buffer.from('#!/bin/sh\n'), 'GGUF_BAD_MAGIC', /Not a GGUF file/],
    ['empty', () => Buffer.alloc(0), 'GGUF_TRUNCATED', /0 are left/],
    [
      'an unknown architecture',
      (bytes: Buffer) => replaceText(bytes, 'bitnet-b1.58', 'unheard-of-1'),
      'ENGINE_UNSUPPORTED_ARCHITECTURE',
      /"unheard-of-1"/,
    ],
    [
      'a code 3',
      async (bytes: Buffer) => {
        await flipWeight(bytes, 'blk.0.attn_q.weight', 3);
      },
      'ENGINE_INVALID_WEIGHTS',
      /"blk\.0\.attn_q\.weight" holds the code 3 1 times among 65536 weights/,
    ],
    [
      'a scale that is none',
      (bytes: Buffer) => setScale(bytes, 'blk.7.ffn_up.weight', Number.NaN),
      'ENGINE_INVALID_WEIGHTS',
      /The scale of tensor "blk\.7\.ffn_up\.weight" is NaN/,
    ],
    [
      'an infinite embedding',
      (bytes: Buffer) => {
        bytes.writeUInt16LE(0xfc00, rawTensors(bytes)[0]!.offsetBytes + 2 * 12_345);
      },
      'ENGINE_INVALID_WEIGHTS',
      /"token_embd\.weight" holds NaN or infinity 1 times among 1048576/,
    ],
    [
      'a norm with NaN',
      (bytes: Buffer) => changeFloats(bytes, 'output_norm.weight', (value, index) => (index < 2 ? Number.NaN : value)),
      'ENGINE_NOT_FINITE',
      /"output_norm\.weight" holds NaN or infinity 2 times among 256/,
    ],
    [
      'an unknown tokenizer',
      (bytes: Buffer) => replaceText(bytes, 'llama-bpe', 'lama-bpe2'),
      'TOKENIZER_UNKNOWN_PRE',
      /lama-bpe2/,
    ],
    [
      'a string that is not UTF-8',
      (bytes: Buffer) => {
        bytes[bytes.indexOf('llama-bpe')] = 0xff;
      },
      'GGUF_BAD_UTF8',
      /tokenizer\.ggml\.pre/,
    ],
    [
      'a layer too many in the metadata',
      (bytes: Buffer) => setU32(bytes, '.block_count', 9),
      'ENGINE_MISSING_TENSOR',
      /"blk\.8\.attn_norm\.weight"/,
    ],
  ])('%s', async (_, change, code, message) => {
    const path = await changedModel(change);
    const problems = await problemsOf(path);
    expect(problems).toEqual([
      { code, message: expect.stringMatching(message), fix: problems[0]!.fix, tensors: expect.any(Array) },
    ]);
    // What to do is in the fix, or in the message of a parser's error.
    expect(problems[0]!.fix ?? problems[0]!.message).toMatch(/[.?]$/);
    const { code: exitCode, stdout } = await bittern(['compat-check', path]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain(`${path}: CANNOT run here (1 problem, `);
    expect(stdout).toContain(`\n${code}\n  `);
    expect(stdout).toMatch(message);
  });

  test('every reason is told, and what the engine says first is the first', async () => {
    const path = await changedModel(async (bytes) => {
      await flipWeight(bytes, 'blk.3.attn_k.weight', 3);
      setTensorType(bytes, 'blk.1.attn_norm.weight', 26);
      replaceText(bytes, 'blk.5.attn_v.weight', 'blk.5.attn_w.weight');
      replaceText(bytes, 'llama-bpe', 'lama-bpe2');
      setU32(bytes, '.head_count_kv', 4);
    });
    const problems = await problemsOf(path);
    const tally = Object.groupBy(problems, ({ code }) => code);
    expect(Object.fromEntries(Object.entries(tally).map(([code, list]) => [code, list!.length]))).toEqual({
      // The norm, and with 4 KV heads every attn_k and attn_v.
      ENGINE_TENSOR_MISMATCH: 1 + 8 + 7,
      ENGINE_MISSING_TENSOR: 1,
      ENGINE_UNUSED_TENSOR: 1,
      TOKENIZER_UNKNOWN_PRE: 1,
      ENGINE_INVALID_WEIGHTS: 1,
    });
    const { stderr } = await bittern(['logits', '-m', path, '--ids', '1']);
    expect(stderr).toContain(problems[0]!.message);
    const { stdout } = await bittern(['compat-check', path]);
    expect(stdout).toContain('ENGINE_TENSOR_MISMATCH (15 times)');
    expect(stdout).toContain('… and 10 more, which --json lists');
    expect(stdout).toContain('blk.5.attn_w.weight');
  });

  test('a vocabulary of another size than the embedding', async () => {
    const editor = new GgufEditor(await openGguf(await readFile(MODEL)));
    const { metadata } = await openGguf(await readFile(MODEL));
    const tokens = metadata.get('tokenizer.ggml.tokens') as string[];
    const types = metadata.get('tokenizer.ggml.token_type') as Int32Array;
    editor.set('tokenizer.ggml.tokens', 'array<string>', [...tokens, 'one more']);
    editor.set('tokenizer.ggml.token_type', 'array<i32>', [...types, 1]);
    expect(await problemsOf(await fileOf(editor.chunks(), 'model.gguf'))).toMatchObject([
      { code: 'CLI_VOCABULARY_DIFFERS', message: expect.stringMatching(/4097 tokens .* 4096 rows/) },
    ]);
  });

  test('a big-endian file', async () => {
    const text = (value: string): Buffer => Buffer.concat([u64(value.length), Buffer.from(value)]);
    const u64 = (value: number): Buffer => Buffer.from(BigInt(value).toString(16).padStart(16, '0'), 'hex');
    const u32 = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, '0'), 'hex');
    const header = [Buffer.from('GGUF'), u32(3), u64(0), u64(1), text('general.architecture'), u32(8), text('bitnet')];
    const path = await fileOf(Buffer.concat(header), 'big.gguf');
    const [problem] = await problemsOf(path);
    expect(problem).toMatchObject({ code: 'ENGINE_BIG_ENDIAN', fix: expect.stringContaining('little-endian') });
    expect((await bittern(['inspect', path])).stdout).toContain('big-endian');
  });
});
