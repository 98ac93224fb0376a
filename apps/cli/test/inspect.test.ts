import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeGguf } from '@bittern/gguf-parser';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  bittern,
  changedModel,
  fileOf,
  MODEL,
  type RawTensor,
  rawTensors,
  replaceText,
  temporaryFolder,
} from './support.ts';

const bytes = await readFile(MODEL);
const raw = rawTensors(bytes);
const TINY_FOLDER = '../../../tools/fixtures/tiny-random-bitnet/tiny-random-bitnet.i2_s.gguf';
const TINY = fileURLToPath(new URL(TINY_FOLDER, import.meta.url));

/** By the type's id: name, and bytes of a tensor. I2_S has four weights to a byte and 32 bytes with the scale. */
const TYPES: Readonly<Record<number, readonly [name: string, bytes: (elements: number) => number]>> = {
  0: ['F32', (elements) => 4 * elements],
  1: ['F16', (elements) => 2 * elements],
  36: ['I2_S', (elements) => elements / 4 + 32],
};

const elementsOf = (tensors: readonly RawTensor[]): number =>
  tensors.reduce((sum, { elementCount }) => sum + elementCount, 0);

/** @returns the URL of a file there */
async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.gguf`;
}

async function inspect(path: string, ...options: string[]) {
  const { code, stdout, stderr } = await bittern(['inspect', path, '--json', ...options]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.endsWith('}\n') && !stdout.slice(0, -1).includes('\n')).toBe(true);
  return JSON.parse(stdout);
}

async function text(path: string, ...options: string[]): Promise<string> {
  const { code, stdout, stderr } = await bittern(['inspect', path, ...options]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

describe('the summary', () => {
  test('--json has the figures of the file', async () => {
    const document = await inspect(MODEL);
    expect(document).toMatchObject({
      file: MODEL,
      sizeBytes: bytes.length,
      files: 1,
      version: bytes.readUInt32LE(4),
      byteOrder: 'little',
      alignment: 32,
      dialect: { name: 'bitnet.cpp', reason: expect.stringContaining('bitnet.cpp-2026') },
      i2sLayout: { name: '128x32', reason: expect.stringContaining('64x16') },
      architecture: 'bitnet-b1.58',
      hyperparameters: { block_count: 8, embedding_length: 256, 'attention.head_count_kv': 2 },
      parameters: elementsOf(raw),
      tokenizer: {
        model: 'gpt2',
        pre: 'llama-bpe',
        tokens: 4096,
        bos: { text: '<|begin_of_text|>' },
        eos: { text: '<|end_of_text|>' },
        addBos: true,
        chatTemplate: { inFile: false, id: 'bitnet' },
        problem: null,
        warnings: [],
      },
      metadata: { count: Number(bytes.readBigUInt64LE(16)), shown: Number(bytes.readBigUInt64LE(16)) },
      tensors: { count: raw.length, shown: 0, entries: [] },
    });
    const types = Object.entries(TYPES).map(([id, [type, sizeOf]]) => {
      const tensors = raw.filter(({ typeId }) => typeId === Number(id));
      const size = tensors.reduce((sum, { elementCount }) => sum + sizeOf(elementCount), 0);
      return { type, count: tensors.length, elements: elementsOf(tensors), bytes: size };
    });
    expect(document.types).toHaveLength(3);
    expect(document.types).toEqual(expect.arrayContaining(types));
    expect(document.tensors.bytes).toBe(types.reduce((sum, type) => sum + type.bytes, 0));
  });

  test('the memory that it takes is that of its weights and cache', async () => {
    const { memory } = await inspect(MODEL);
    const ternary = elementsOf(raw.filter(({ typeId }) => typeId === 36)) / 4;
    const others = raw.filter(({ typeId }) => typeId !== 36);
    const weights =
      ternary + others.reduce((sum, { typeId, elementCount }) => sum + TYPES[typeId]![1](elementCount), 0);
    // Keys and values in f16: 8 layers, 512 tokens, 2 heads of 64.
    const cache = 2 * 2 * 8 * 512 * 2 * 64;
    expect(memory).toEqual({
      contextLength: 512,
      weights,
      cache,
      activations: expect.any(Number),
      total: weights + cache + memory.activations,
    });
    expect(await text(MODEL)).toContain('KV cache of 512 tokens 2.1 MB');
  });

  test('the text form has the same figures', async () => {
    const stdout = await text(MODEL);
    expect(stdout).toMatch(/^architecture +"bitnet-b1\.58"$/m);
    expect(stdout).toMatch(/^dialect +bitnet\.cpp: only bitnet\.cpp and/m);
    expect(stdout).toMatch(/^I2_S layout +128x32: the default/m);
    expect(stdout).toMatch(new RegExp(`^parameters +${elementsOf(raw)}$`, 'm'));
    expect(stdout).toMatch(/^ {2}block_count +8$/m);
    expect(stdout).toMatch(/^ {2}F16 +1 +1048576 +16\.00 +2097152 bytes \(2\.1 MB\)$/m);
    expect(stdout).toMatch(/^Tensors: 90 \(--tensors lists them\)$/m);
    expect(stdout).toMatch(/^Metadata: 27 keys \(--kv lists them\)$/m);
  });

  test('a file that cannot run can be inspected', async () => {
    const path = await changedModel((model) => replaceText(model, 'bitnet-b1.58', 'unheard-of-1'));
    expect(await inspect(path)).toMatchObject({
      architecture: 'unheard-of-1',
      hyperparameters: { block_count: 8 },
      memory: null,
    });
    expect(await text(path)).toContain('compat-check');
  });

  test('a file without a tokenizer, tensors or an architecture', async () => {
    const path = await fileOf(writeGguf({ metadata: [['general.name', 'string', 'empty']] }), 'empty.gguf');
    expect(await inspect(path)).toMatchObject({
      architecture: null,
      name: 'empty',
      parameters: 0,
      types: [],
      i2sLayout: null,
      memory: null,
      tokenizer: { model: null, tokens: 0, problem: { code: 'TOKENIZER_MISSING_KEY' } },
    });
    const stdout = await text(path);
    expect(stdout).toMatch(/^ {2}model +none in the file$/m);
    expect(stdout).not.toContain('NaN');
  });

  test('a pre-tokenizer that is not named is told of', async () => {
    const path = await changedModel((model) =>
      replaceText(model, 'tokenizer.ggml.pre\u0008', 'tokenizer.ggml.prx\u0008'),
    );
    const { tokenizer } = await inspect(path);
    expect(tokenizer).toMatchObject({ pre: null, warnings: [expect.stringContaining('tokenizer.ggml.pre')] });
    expect(await text(path)).toMatch(/^ {2}pre-tokenizer +not named in the file$/m);
  });

  test('--dialect and --layout are taken at their word', async () => {
    expect(await inspect(MODEL, '--dialect', 'bitnet.cpp-2026', '--layout', '64x16')).toMatchObject({
      dialect: { name: 'bitnet.cpp-2026', reason: 'given by the caller' },
      i2sLayout: { name: '64x16', reason: 'given with --layout' },
    });
    const { code, stdout, stderr } = await bittern(['inspect', MODEL, '--dialect', 'ggml']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('Unknown tensor type 36');
  });

  test('control characters from the file do not reach the terminal', async () => {
    const path = await changedModel((model) => replaceText(model, 'general.size_label', 'general.\u001b[31mred--'));
    expect(await text(path, '--kv')).toContain('general.\\u{1b}[31mred--');
  });
});

describe('--kv', () => {
  test('lists every key; arrays come with their length and first elements', async () => {
    const stdout = await text(MODEL, '--kv');
    expect(stdout).toMatch(/^Metadata: 27 keys$/m);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1 + 27);
    expect(stdout).toMatch(/^ {2}tokenizer\.ggml\.tokens +array<string> +4096 elements: "!", .*, … \(4091 more\)$/m);
  });

  test('with a pattern says how many match of how many', async () => {
    const stdout = await text(MODEL, '--kv', '*.rope.*');
    expect(stdout).toBe(
      'Metadata: 2 of 27 keys match "*.rope.*"\n' +
        '  bitnet-b1.58.rope.dimension_count  u32  64\n' +
        '  bitnet-b1.58.rope.freq_base        f32  10000\n',
    );
    expect(await text(MODEL, '--kv', 'rope')).toBe('Metadata: 0 of 27 keys match "rope"\n');
    expect(await text(MODEL, '--kv', 'general.nam?')).toContain('1 of 27');
  });

  test('--json abbreviates arrays and long strings, and with --kv gives them whole', async () => {
    const path = await fileOf(
      writeGguf({
        metadata: [
          ['numbers', 'array<f32>', [1, 2, 3, 4, 5, 6]],
          ['large', 'array<u64>', [2n ** 60n]],
          ['nested', 'array<array>', [Uint8Array.of(1, 2)]],
          ['long', 'string', 'x'.repeat(5000)],
        ],
      }),
      'arrays.gguf',
    );
    const { metadata } = await inspect(path);
    expect(metadata.entries).toEqual([
      { key: 'numbers', type: 'array<f32>', length: 6, first: [1, 2, 3, 4, 5] },
      { key: 'large', type: 'array<u64>', length: 1, first: [(2n ** 60n).toString()] },
      { key: 'nested', type: 'array<array>', length: 1, first: [{ length: 2 }] },
      { key: 'long', type: 'string', length: 5000, first: 'x'.repeat(1000) },
    ]);
    const whole = (await inspect(path, '--kv')).metadata;
    expect(whole.entries.map(({ value }: { value: unknown }) => value)).toEqual([
      [1, 2, 3, 4, 5, 6],
      [(2n ** 60n).toString()],
      [[1, 2]],
      'x'.repeat(5000),
    ]);
    expect((await inspect(path, '--kv', 'l*')).metadata).toMatchObject({ count: 4, shown: 2 });
    expect(await text(path, '--kv')).toContain('… (5000 characters)');
  });

  test('strings that are not UTF-8 are shown in hexadecimal, with a note', async () => {
    const path = await changedModel((model) => {
      model[model.indexOf('bitnet-storyteller')] = 0xff;
      model[model.indexOf('llama-bpe') + 1] = 0xfe;
    });
    const document = await inspect(path, '--kv', 'general.name');
    const name = { note: 'not UTF-8', hex: Buffer.from('\u00ffitnet-storyteller', 'latin1').toString('hex') };
    expect(document.name).toEqual(name);
    expect(document.metadata.entries).toEqual([{ key: 'general.name', type: 'string', value: name }]);
    expect(document.tokenizer).toMatchObject({ pre: { note: 'not UTF-8' }, problem: { code: 'GGUF_BAD_UTF8' } });
    expect(await text(path)).toMatch(/^name +not UTF-8, in hexadecimal: ff69746e65742d/m);
    expect(await text(path, '--kv')).toMatch(/tokenizer\.ggml\.pre +string +not UTF-8, in hexadecimal: 6cfe616d61/);
  });

  test('takes a file after it for a pattern, and says so', async () => {
    const { code, stderr } = await bittern(['inspect', '--kv', MODEL]);
    expect(code).toBe(2);
    expect(stderr).toContain('was taken for a pattern, so put the file first');
  });
});

describe('--tensors', () => {
  test('lists the tensors that match, with where they are', async () => {
    const { tensors } = await inspect(MODEL, '--tensors', 'blk.3.*');
    const expected = raw.filter(({ name }) => name.startsWith('blk.3.'));
    expect(tensors).toMatchObject({ count: 90, shown: 11 });
    expect(tensors.entries).toEqual(
      expected.map(({ name, typeId, dims, elementCount, offsetBytes }) => ({
        name,
        type: TYPES[typeId]![0],
        shape: dims.toReversed(),
        sizeBytes: TYPES[typeId]![1](elementCount),
        offsetBytes,
      })),
    );
    const stdout = await text(MODEL, '--tensors', 'blk.3.*');
    expect(stdout).toMatch(/^Tensors: 11 of 90 tensors match "blk\.3\.\*"$/m);
    expect(stdout).toMatch(/^ {2}blk\.3\.ffn_down\.weight +I2_S +\[256, 768\] +49184 +\d+$/m);
    expect((await text(MODEL, '--tensors')).trimEnd().split('\n')).toHaveLength(2 + 90);
  });
});

describe('sources', () => {
  test('a split model is one model, whichever of its files is given', async () => {
    const folder = await temporaryFolder();
    const data = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);
    for (const number of [0, 1]) {
      const metadata = [
        ['general.architecture', 'string', 'example'],
        ['split.no', 'u16', number],
        ['split.count', 'u16', 2],
        ['split.tensors.count', 'i32', 2],
      ] as const;
      const tensors = [{ name: `t${number}_norm.weight`, type: 'F32', shape: [4], data }] as const;
      await writeFile(join(folder, `m-0000${number + 1}-of-00002.gguf`), writeGguf({ metadata, tensors }));
    }
    const path = join(folder, 'm-00002-of-00002.gguf');
    expect(await inspect(path)).toMatchObject({ files: 2, parameters: 8, tensors: { count: 2 } });
    expect(await text(path)).toMatch(/^size .* in 2 files$/m);
  });

  test('of a URL only the header is read', async () => {
    const ranges: number[] = [];
    const server = createServer((request, response) => {
      const [from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!.slice(1).map(Number) as [number, number];
      ranges.push(to);
      response.writeHead(206, { 'Content-Range': `bytes ${from}-${to}/${bytes.length}` });
      response.end(bytes.subarray(from, to + 1));
    });
    onTestFinished(() => void server.close());
    const url = await listen(server);
    const { file, parameters } = await inspect(url);
    expect({ file, parameters }).toEqual({ file: url, parameters: elementsOf(raw) });
    expect(Math.max(...ranges)).toBeLessThan(bytes.length / 2);
  });

  test('a URL that cannot be reached is no mistake of ours', async () => {
    const server = createServer();
    const url = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    const { code, stdout, stderr } = await bittern(['inspect', url]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^bittern: http:\/\/127\.0\.0\.1:\d+\/model\.gguf: it cannot be reached \(.*ECONNREFUSED.*\)/,
    );
    expect((await bittern(['inspect', 'http://['])).code).toBe(2);
  });

  test('the tiny model of another architecture', async () => {
    const tiny = rawTensors(await readFile(TINY));
    expect(await inspect(TINY)).toMatchObject({ architecture: 'bitnet', parameters: elementsOf(tiny) });
  });
});
