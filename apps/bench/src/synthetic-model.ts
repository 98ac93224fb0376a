import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { type GgufEntry, type GgufTensorData, writeGguf } from '@bittern/gguf-parser';
import { byteCharacters, readLlama3 } from './llama3.ts';
import { Random } from './random.ts';

/** Hyperparameters of a model; names as in `ModelConfig` of the engine. */
export interface ModelShape {
  readonly blockCount: number;
  readonly embeddingLength: number;
  readonly headCount: number;
  readonly headCountKv: number;
  readonly feedForwardLength: number;
  readonly contextLength: number;
  readonly vocabSize: number;
  /** `bytes` is 256 tokens and no merges, and as many control tokens as are missing. */
  readonly vocabulary: 'llama3' | 'bytes';
}

export type ShapeName = '2b4t' | 'tiny';

export const SHAPES: Readonly<Record<ShapeName, ModelShape>> = {
  '2b4t': {
    blockCount: 30,
    embeddingLength: 2560,
    headCount: 20,
    headCountKv: 5,
    feedForwardLength: 6912,
    contextLength: 4096,
    vocabSize: 128_256,
    vocabulary: 'llama3',
  },
  tiny: {
    blockCount: 2,
    embeddingLength: 256,
    headCount: 4,
    headCountKv: 2,
    feedForwardLength: 768,
    contextLength: 1024,
    vocabSize: 512,
    vocabulary: 'bytes',
  },
};

/** Counts changes of what follows: a file of another version in the cache is not used. */
export const GENERATOR_VERSION = 1;

/** Share of weights that are 0, about that of the released 2B model. */
const ZERO_FRACTION = 0.42;

/** How strongly each matrix amplifies its input; chosen so that activations stay lively over 30 layers. */
const GAIN = { attn_q: 1.4, attn_k: 1.4, attn_v: 1, attn_output: 0.7, ffn_gate: 1, ffn_up: 1, ffn_down: 0.7 };

/**
 * Writes a model with the structure of the official BitNet 2B4T file (numerics, section 7) and random weights. The same
 * bytes for the same shape, on every machine.
 */
export async function writeSyntheticModel(
  path: string,
  shape: ModelShape,
  signal?: AbortSignal,
): Promise<{ readonly sha256: string; readonly sizeBytes: number }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const file = await open(path, 'w');
  try {
    for await (const chunk of writeGguf({ metadata: metadataOf(shape), tensors: tensorsOf(shape) })) {
      signal?.throwIfAborted();
      hash.update(chunk);
      await file.writeFile(chunk); // continues where the last one ended
      sizeBytes += chunk.byteLength;
    }
  } finally {
    await file.close();
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

/** Bytes that the file will have, about. */
export function syntheticModelBytes(shape: ModelShape): number {
  const { blockCount, embeddingLength, headCount, headCountKv, feedForwardLength, vocabSize } = shape;
  const kvLength = (embeddingLength / headCount) * headCountKv;
  const weights = 2 * embeddingLength * (embeddingLength + kvLength) + 3 * embeddingLength * feedForwardLength;
  const headerBytes = 128 * vocabSize;
  return headerBytes + 2 * vocabSize * embeddingLength + (blockCount * weights) / 4 + blockCount * 65_536;
}

function metadataOf(shape: ModelShape): GgufEntry[] {
  const architecture = 'bitnet-b1.58';
  const { tokens, merges, bosId } =
    shape.vocabulary === 'llama3' ? llama3Vocabulary() : byteVocabulary(shape.vocabSize);
  const key = (name: string): string => `${architecture}.${name}`;
  return [
    ['general.architecture', 'string', architecture],
    ['general.name', 'string', 'synthetic'],
    [key('vocab_size'), 'u32', shape.vocabSize],
    [key('context_length'), 'u32', shape.contextLength],
    [key('embedding_length'), 'u32', shape.embeddingLength],
    [key('block_count'), 'u32', shape.blockCount],
    [key('feed_forward_length'), 'u32', shape.feedForwardLength],
    [key('rope.dimension_count'), 'u32', shape.embeddingLength / shape.headCount],
    [key('attention.head_count'), 'u32', shape.headCount],
    [key('attention.head_count_kv'), 'u32', shape.headCountKv],
    ['tokenizer.ggml.add_bos_token', 'bool', true],
    [key('attention.layer_norm_rms_epsilon'), 'f32', 1e-5],
    [key('rope.freq_base'), 'f32', 500_000],
    ['general.file_type', 'u32', 40],
    ['tokenizer.ggml.model', 'string', 'gpt2'],
    ['tokenizer.ggml.tokens', 'array<string>', tokens],
    ['tokenizer.ggml.scores', 'array<f32>', new Float32Array(tokens.length)],
    ['tokenizer.ggml.token_type', 'array<i32>', Int32Array.from(tokens, (_, id) => (id < bosId ? 1 : 3))],
    ['tokenizer.ggml.merges', 'array<string>', merges],
    ['tokenizer.ggml.bos_token_id', 'u32', bosId],
    ['tokenizer.ggml.eos_token_id', 'u32', bosId + 1],
    ['tokenizer.ggml.padding_token_id', 'u32', bosId + 1],
    ['tokenizer.chat_template', 'string', "{{ 'Human: ' + message['content'] + '\\n\\nBITNETAssistant: ' }}"],
    ['general.quantization_version', 'u32', 2],
  ];
}

interface Vocabulary {
  readonly tokens: string[];
  readonly merges: string[];
  /** The first of the control tokens, which are the last. */
  readonly bosId: number;
}

function llama3Vocabulary(): Vocabulary {
  const { model, added_tokens: added } = readLlama3();
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { id, content } of added) tokens[id] = content;
  return { tokens, merges: [...model.merges], bosId: Math.min(...added.map(({ id }) => id)) };
}

function byteVocabulary(vocabSize: number): Vocabulary {
  const bytes = byteCharacters();
  const control = Array.from({ length: vocabSize - bytes.length }, (_, index) => `<|control_${index}|>`);
  return { tokens: [...bytes, ...control], merges: [], bosId: bytes.length };
}

/** In the order of the official file. */
function tensorsOf(shape: ModelShape): GgufTensorData[] {
  const { blockCount, embeddingLength: width, feedForwardLength: inner, vocabSize } = shape;
  const kvLength = (width / shape.headCount) * shape.headCountKv;
  const codeBytes = codeByteTable();

  const norm = (name: string, length: number): GgufTensorData => {
    const random = new Random(name);
    const values = Float32Array.from({ length }, () => 0.9 + 0.2 * random.fraction());
    return { name: `${name}.weight`, type: 'F32', shape: [length], data: new Uint8Array(values.buffer) };
  };
  const ternary = (block: string, name: keyof typeof GAIN, rows: number, columns: number): GgufTensorData => ({
    name: `${block}${name}.weight`,
    type: 'I2_S',
    shape: [rows, columns],
    data: ternaryBytes(new Random(block + name), codeBytes, rows, columns, GAIN[name]),
  });
  const embedding: GgufTensorData = {
    name: 'token_embd.weight',
    type: 'F16',
    shape: [vocabSize, width],
    data: embeddingBytes(new Random('token_embd'), vocabSize * width, 2.5 / Math.sqrt(width)),
  };

  const layers = Array.from({ length: blockCount }, (_, layer) => {
    const block = `blk.${layer}.`;
    return [
      norm(`${block}attn_norm`, width),
      ternary(block, 'ffn_down', width, inner),
      norm(`${block}ffn_sub_norm`, inner),
      ternary(block, 'ffn_gate', inner, width),
      ternary(block, 'ffn_up', inner, width),
      norm(`${block}ffn_norm`, width),
      norm(`${block}attn_sub_norm`, width),
      ternary(block, 'attn_k', kvLength, width),
      ternary(block, 'attn_output', width, width),
      ternary(block, 'attn_q', width, width),
      ternary(block, 'attn_v', kvLength, width),
    ];
  });
  return [embedding, ...layers.flat(), norm('output_norm', width)];
}

const CHUNK_VALUES = 1 << 21;

/** I2_S in any layout: four codes 0, 1, 2 a byte. Behind them the scale in 32 bytes. */
function* ternaryBytes(
  random: Random,
  codeBytes: Uint8Array,
  rows: number,
  columns: number,
  gain: number,
): Generator<Uint8Array, void, undefined> {
  const scale = (gain / Math.sqrt(columns * (1 - ZERO_FRACTION))) * (1 + 0.2 * random.fraction());
  const sizeBytes = (rows * columns) / 4;
  for (let at = 0; at < sizeBytes; at += CHUNK_VALUES) {
    const chunk = new Uint8Array(Math.min(CHUNK_VALUES, sizeBytes - at));
    random.draw(chunk, codeBytes);
    yield chunk;
  }
  const trailer = new Uint8Array(32);
  new DataView(trailer.buffer).setFloat32(0, scale, true);
  yield trailer;
}

/** f16, even between -sqrt(3) and sqrt(3) deviations. */
function* embeddingBytes(random: Random, count: number, deviation: number): Generator<Uint8Array, void, undefined> {
  const most = Math.sqrt(3) * deviation;
  const table = Uint16Array.from({ length: 65_536 }, (_, index) => f16Bits(most * (index / 32_768 - 1)));
  for (let at = 0; at < count; at += CHUNK_VALUES) {
    const chunk = new Uint16Array(Math.min(CHUNK_VALUES, count - at));
    random.draw(chunk, table);
    yield new Uint8Array(chunk.buffer);
  }
}

/** 65,536 equally likely bytes of four codes each, every code 1 (the weight 0) in {@link ZERO_FRACTION} of them. */
function codeByteTable(): Uint8Array {
  const share = [(1 - ZERO_FRACTION) / 2, ZERO_FRACTION, (1 - ZERO_FRACTION) / 2];
  const table = new Uint8Array(65_536);
  let reached = 0;
  for (let code = 0; code < 81; code++) {
    const codes = [Math.floor(code / 27), Math.floor(code / 9) % 3, Math.floor(code / 3) % 3, code % 3];
    const from = Math.round(65_536 * reached);
    reached += codes.reduce((product, c) => product * share[c]!, 1);
    const byte = codes.reduce((bits, c) => (bits << 2) | c, 0);
    table.fill(byte, from, code === 80 ? 65_536 : Math.round(65_536 * reached));
  }
  return table;
}

/** The nearest f16 that is normal, or 0 below 2^-14; half rounds up. */
function f16Bits(value: number): number {
  const f32 = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  if (Math.abs(value) < 2 ** -14) return 0;
  // The exponent's bias is 127 in f32 and 15 in f16.
  return ((f32 >>> 16) & 0x8000) | (((f32 & 0x7fffffff) - (112 << 23) + 0x1000) >>> 13);
}
