import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GgufEntry, type GgufTensorData, openGguf, writeGguf } from '@bittern/gguf-parser';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { translateBitnet, translateBitnetFile } from '../src/translate/translate-bitnet.ts';

const ROWS = 64;
const COLUMNS = 256;
const SCALE = 0.37109375;
const TILING = { tileRows: 32, tileColumns: 128, innerRows: 32 };

/** Ternary weights without a pattern that a wrong layout could share. */
const CODES = Int8Array.from(
  { length: ROWS * COLUMNS },
  (_, index) => ((Math.imul(index + 1, 0x9e3779b1) >>> 9) % 3) - 1,
);

/** I2_S by its definition: block by block, the first weights in the highest bits. */
function packI2s(codes: Int8Array, lanes: 32 | 16): Uint8Array {
  const bytes: number[] = [];
  for (let block = 0; block < codes.length; block += 4 * lanes) {
    for (let lane = 0; lane < lanes; lane++) {
      const [a, b, c, d] = [0, 1, 2, 3].map((group) => codes[block + group * lanes + lane]! + 1);
      bytes.push((a! << 6) | (b! << 4) | (c! << 2) | d!);
    }
  }
  return withTrailer(Uint8Array.from(bytes));
}

/** TL1 by the order in which bitnet.cpp's kernel reads: tiles, segments, inner rows, steps, sixteens, pairs of pairs. */
function packTl1(codes: Int8Array): Uint8Array {
  const { tileRows, tileColumns, innerRows } = TILING;
  const step = 256 / innerRows;
  const nibble = (row: number, column: number) =>
    3 * codes[row * COLUMNS + column]! + codes[row * COLUMNS + column + 1]! + 4;
  const bytes: number[] = [];
  for (let tile = 0; tile < ROWS; tile += tileRows)
    for (let segment = 0; segment < COLUMNS; segment += tileColumns)
      for (let inner = 0; inner < tileRows; inner += innerRows)
        for (let at = 0; at < tileColumns; at += step)
          for (let sixteen = 0; sixteen < innerRows; sixteen += 16)
            for (let four = 0; four < step; four += 4)
              for (let lane = 0; lane < 16; lane++) {
                const row = tile + inner + sixteen + lane;
                const column = segment + at + four;
                bytes.push((nibble(row, column) << 4) | nibble(row, column + 2));
              }
  return withTrailer(Uint8Array.from(bytes));
}

function withTrailer(packed: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(packed.length + 32).fill(0xee);
  bytes.set(packed);
  new DataView(bytes.buffer).setFloat32(packed.length, SCALE, true);
  return bytes;
}

const NAME = 'blk.0.attn_q.weight';
const i2s = (data: Uint8Array = packI2s(CODES, 32)): GgufTensorData => ({
  name: NAME,
  type: 'I2_S',
  shape: [ROWS, COLUMNS],
  data,
});
const tl1 = (): GgufTensorData => ({ name: NAME, type: 'TL1', shape: [ROWS, COLUMNS], data: packTl1(CODES) });

async function model(tensors: readonly GgufTensorData[], architecture = 'bitnet-b1.58'): Promise<Uint8Array> {
  const metadata: GgufEntry[] = [
    ['general.architecture', 'string', architecture],
    [`${architecture}.block_count`, 'u32', 1],
    [`${architecture}.rope.freq_base`, 'f32', 500_000],
    ['general.file_type', 'u32', 40],
    ['tokenizer.ggml.tokens', 'array<string>', [new TextEncoder().encode('a'), Uint8Array.of(0xff, 0xfe)]],
  ];
  return await collect(writeGguf({ metadata, tensors }));
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** The ternary matrix of a translated file, read by the definition of its type. */
function valuesOf(type: string, bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (type === 'F32') return Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(4 * index, true));
  const half = (at: number) => ({ 0: 0, 0x3c00: 1, 0xbc00: -1 })[view.getUint16(at, true)] ?? NaN;
  if (type === 'F16') return Array.from({ length: bytes.length / 2 }, (_, index) => half(2 * index));
  const values: number[] = [];
  for (let block = 0; block < bytes.length; block += 66) {
    for (const start of [0, 32]) {
      for (const shift of [0, 2, 4, 6]) {
        for (let byte = 0; byte < 32; byte++) {
          values.push((((bytes[block + start + byte]! >> shift) & 3) - 1) * half(block + 64));
        }
      }
    }
  }
  return values;
}

const SOURCES = [
  ['I2_S, 128x32', i2s(), {}],
  ['I2_S, 64x16', i2s(packI2s(CODES, 16)), { i2sPacking: '64x16' }],
  ['TL1', tl1(), { tl1Tilings: { [`${ROWS}x${COLUMNS}`]: TILING } }],
] as const;

test.each(
  SOURCES.flatMap((source) => (['F32', 'F16', 'TQ2_0'] as const).map((weights) => [...source, weights] as const)),
)('%s becomes the same weights', async (_, tensor, options, weights) => {
  const { chunks, hooks } = translateBitnet(await openGguf(await model([tensor])), { ...options, weights });
  const file = await openGguf(await collect(chunks));
  expect([...file.tensors.values()].map(({ name, type, shape }) => [name, type, shape])).toEqual([
    [NAME, weights, [ROWS, COLUMNS]],
    ['blk.0.attn_q.scale', 'F32', [1]],
  ]);
  expect(valuesOf(weights, await file.readTensor(NAME))).toEqual([...CODES]);
  expect(valuesOf('F32', await file.readTensor('blk.0.attn_q.scale'))).toEqual([SCALE]);
  expect(hooks).toEqual({ reluSquared: true, int8Activations: weights !== 'TQ2_0', halfValues: false });
});

test('keys are renamed, and tokens that are no UTF-8 stay what they are', async () => {
  const file = await openGguf(
    await collect(translateBitnet(await openGguf(await model([i2s()])), { weights: 'F16' }).chunks),
  );
  expect(file.metadata.get('general.architecture')).toBe('bitnet');
  expect(file.metadata.get('bitnet.block_count')).toBe(1);
  expect(file.metadata.get('bitnet.rope.freq_base')).toBe(500_000);
  expect(file.metadata.get('general.file_type')).toBe(1);
  expect([...file.metadata.keys()].some((key) => key.startsWith('bitnet-b1.58'))).toBe(false);
  expect(file.metadata.stringBytes('tokenizer.ggml.tokens')?.map((bytes) => [...bytes])).toEqual([[97], [0xff, 0xfe]]);
});

test('architecture bitnet keeps its SiLU, and its head', async () => {
  const head = { name: 'output.weight', type: 'F32', shape: [1, 4], data: new Uint8Array(16) } as const;
  for (const [architecture, reluSquared, names] of [
    ['bitnet', false, ['output.weight']],
    ['bitnet-25', true, []],
    ['bitnet-b1.58', true, []],
  ] as const) {
    const { chunks, hooks } = translateBitnet(await openGguf(await model([head], architecture)), { weights: 'F32' });
    expect(hooks.reluSquared).toBe(reluSquared);
    expect([...(await openGguf(await collect(chunks))).tensors.keys()]).toEqual(names);
  }
});

test('matrices in floats stay, and read floats; some in floats among ternary ones are refused', async () => {
  const floats = { name: 'blk.0.attn_k.weight', type: 'F32', shape: [2, 2], data: new Uint8Array(16) } as const;
  const of = async (tensors: GgufTensorData[]) => await openGguf(await model(tensors, 'bitnet-b1.58'));
  expect(translateBitnet(await of([floats]), { weights: 'F16' }).hooks.int8Activations).toBe(false);
  expect(translateBitnet(await of([i2s()]), { weights: 'F16' }).hooks.int8Activations).toBe(true);
  const mixed = await of([i2s(), floats]);
  expect(() => translateBitnet(mixed, { weights: 'F16' })).toThrow(/attn_k.weight" has type F32/);
});

test('the embedding is widened only on demand, without rounding', async () => {
  const halves = Uint8Array.of(0, 0x3c, 1, 0, 0xff, 0x7b, 0, 0x80);
  const embedding = { name: 'token_embd.weight', type: 'F16', shape: [2, 2], data: halves } as const;
  const gguf = await openGguf(await model([embedding]));
  const kept = await openGguf(await collect(translateBitnet(gguf, { weights: 'F16' }).chunks));
  expect([...(await kept.readTensor('token_embd.weight'))]).toEqual([...halves]);
  const widened = await openGguf(await collect(translateBitnet(gguf, { weights: 'F16', widenEmbedding: true }).chunks));
  expect(valuesOf('F32', await widened.readTensor('token_embd.weight'))).toEqual([1, 2 ** -24, 65504, -0]);
});

test('what has no equivalent is refused', async () => {
  const untranslatable = { code: 'BRIDGE_UNTRANSLATABLE' };
  const translate = async (tensor: GgufTensorData, options: object = {}, architecture?: string) =>
    await collect(
      translateBitnet(await openGguf(await model([tensor], architecture)), { weights: 'F16', ...options }).chunks,
    );
  await expect(translate(i2s(), {}, 'llama')).rejects.toMatchObject(untranslatable);
  await expect(translate(i2s(), {}, '__proto__')).rejects.toMatchObject(untranslatable);
  await expect(translate(tl1())).rejects.toMatchObject(untranslatable);
  await expect(
    translate(tl1(), { tl1Tilings: { [`${ROWS}x${COLUMNS}`]: { ...TILING, tileRows: 48 } } }),
  ).rejects.toMatchObject(untranslatable);
  await expect(translate({ ...i2s(), name: 'token_embd.weight' })).rejects.toMatchObject(untranslatable);
  await expect(translate({ name: NAME, type: 'Q8_0', shape: [1, 32], data: new Uint8Array(34) })).rejects.toMatchObject(
    untranslatable,
  );
  const narrow = { name: NAME, type: 'I2_S', shape: [2, 128], data: packI2s(CODES.subarray(0, 256), 32) } as const;
  await expect(translate(narrow, { weights: 'TQ2_0' })).rejects.toMatchObject(untranslatable);
  await expect(translate(i2s(packI2s(CODES, 32).fill(0xff, 5, 6)))).rejects.toThrow(/code 3/);
  await expect(translate(i2s(packI2s(CODES, 32).fill(0xff, ROWS * COLUMNS * 0.25)))).rejects.toThrow(/scale NaN/);
  await expect(translate(i2s(), { widen: true })).rejects.toThrow(TypeError);
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bittern-translate-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('a file is written whole or not at all, and none is overwritten', async () => {
  const files = { model: join(folder, 'in.gguf'), output: join(folder, 'out.gguf') };
  await writeFile(files.model, await model([i2s(packI2s(CODES, 32).fill(0xff, 5, 6))]));
  await expect(translateBitnetFile(files, { weights: 'F16' })).rejects.toThrow(/code 3/);
  expect(await readdir(folder)).toEqual(['in.gguf']);
  await writeFile(files.model, await model([i2s()]));
  await translateBitnetFile(files, { weights: 'F16' });
  const written = await readFile(files.output);
  await expect(translateBitnetFile(files, { weights: 'F32' })).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await readFile(files.output)).toEqual(written);
});
