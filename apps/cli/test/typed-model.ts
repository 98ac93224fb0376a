import { type GgufEntry, type GgufTensorData, writeGguf } from '@bittern/gguf-parser';

// Small random models in any types of weights, with a tokenizer of bytes: for what does not depend on what they say.

export type WeightType = 'I2_S' | 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q6_K' | 'TQ1_0' | 'TQ2_0';

export interface TypedModel {
  readonly architecture: 'llama' | 'bitnet' | 'bitnet-25' | 'bitnet-b1.58';
  /** Of the linear layers by name, such as `attn_q`; a function of the layer, too. */
  readonly linear: WeightType | ((name: string, layer: number) => WeightType);
  readonly embedding: WeightType;
  /** Default: tied. */
  readonly head?: WeightType;
  readonly biases?: boolean;
  readonly scales?: boolean;
  readonly headDim?: number;
}

/** As a file of Q4_0 mixes them, with everything that the graph has besides. */
export const MIXED: TypedModel = {
  architecture: 'llama',
  linear: (name, layer) => {
    if (name === 'attn_v') return layer === 1 ? 'BF16' : 'Q6_K';
    if (name === 'ffn_down') return 'Q8_0';
    return name === 'attn_k' ? 'TQ1_0' : 'Q4_0';
  },
  embedding: 'Q4_0',
  head: 'Q6_K',
  biases: true,
  scales: true,
  headDim: 128,
};

const LAYERS = 3;
const WIDTH = 256;
const INNER = 512;
const HEADS = 4;
const KV_HEADS = 2;
const VOCABULARY = 260;

/** Bytes of a GGUF file. */
export async function typedModel(model: TypedModel): Promise<Buffer> {
  const { architecture, headDim = WIDTH / HEADS } = model;
  const tensors: GgufTensorData[] = [];
  const random = randomNumbers();
  const add = (name: string, type: WeightType, shape: readonly number[]): void => {
    const count = shape.reduce((product, length) => product * length, 1);
    tensors.push({ name, type, shape, data: bytesOf(type, count, random) });
  };
  const linear = (layer: number, part: string, rows: number, columns: number, canBeBiased: boolean): void => {
    const name = `blk.${layer}.${part}`;
    add(`${name}.weight`, typeof model.linear === 'string' ? model.linear : model.linear(part, layer), [rows, columns]);
    if (model.scales) add(`${name}.scale`, 'F32', [1]);
    if (model.biases && canBeBiased) add(`${name}.bias`, 'F32', [rows]);
  };
  const norm = (name: string, length: number): void => add(`${name}.weight`, 'F32', [length]);
  const isLlama = architecture === 'llama';
  add('token_embd.weight', model.embedding, [VOCABULARY, WIDTH]);
  for (let layer = 0; layer < LAYERS; layer++) {
    norm(`blk.${layer}.attn_norm`, WIDTH);
    linear(layer, 'attn_q', HEADS * headDim, WIDTH, true);
    linear(layer, 'attn_k', KV_HEADS * headDim, WIDTH, true);
    linear(layer, 'attn_v', KV_HEADS * headDim, WIDTH, true);
    if (!isLlama) norm(`blk.${layer}.attn_sub_norm`, HEADS * headDim);
    linear(layer, 'attn_output', WIDTH, HEADS * headDim, true);
    norm(`blk.${layer}.ffn_norm`, WIDTH);
    linear(layer, 'ffn_gate', INNER, WIDTH, isLlama);
    linear(layer, 'ffn_up', INNER, WIDTH, isLlama);
    if (!isLlama) norm(`blk.${layer}.ffn_sub_norm`, INNER);
    linear(layer, 'ffn_down', WIDTH, INNER, isLlama);
  }
  norm('output_norm', WIDTH);
  if (model.head) add('output.weight', model.head, [VOCABULARY, WIDTH]);

  const u32 = (key: string, value: number): GgufEntry => [`${architecture}.${key}`, 'u32', value];
  const metadata: GgufEntry[] = [
    ['general.architecture', 'string', architecture],
    u32('context_length', 1024),
    u32('embedding_length', WIDTH),
    u32('block_count', LAYERS),
    u32('feed_forward_length', INNER),
    u32('attention.head_count', HEADS),
    u32('attention.head_count_kv', KV_HEADS),
    u32('attention.key_length', headDim),
    u32('attention.value_length', headDim),
    [`${architecture}.attention.layer_norm_rms_epsilon`, 'f32', 1e-5],
    ...tokenizer(),
  ];
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeGguf({ metadata, tensors })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** GPT-2's characters of all bytes, without merges: a token for each byte of a text. */
function tokenizer(): GgufEntry[] {
  let hidden = 0;
  const bytes = Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(printable ? byte : 256 + hidden++);
  });
  const tokens = [...bytes, '<s>', '</s>', '<pad>', '<unk>'];
  return [
    ['tokenizer.ggml.model', 'string', 'gpt2'],
    ['tokenizer.ggml.pre', 'string', 'gpt-2'],
    ['tokenizer.ggml.tokens', 'array<string>', tokens],
    ['tokenizer.ggml.token_type', 'array<i32>', Int32Array.from(tokens, (_, id) => (id < 256 ? 1 : 3))],
    ['tokenizer.ggml.merges', 'array<string>', []],
    ['tokenizer.ggml.bos_token_id', 'u32', 256],
    ['tokenizer.ggml.eos_token_id', 'u32', 257],
  ];
}

/** Elements in a block, its bytes, and where its f16 scale is. */
const BLOCKS: Readonly<Record<'Q8_0' | 'Q4_0' | 'Q6_K' | 'TQ1_0' | 'TQ2_0', readonly [number, number, number]>> = {
  Q8_0: [32, 34, 0],
  Q4_0: [32, 18, 0],
  Q6_K: [256, 210, 208],
  TQ1_0: [256, 54, 52],
  TQ2_0: [256, 66, 64],
};

/** Random ones that are finite and small. */
function bytesOf(type: WeightType, count: number, random: () => number): Uint8Array<ArrayBuffer> {
  const byte = (): number => Math.floor(256 * random());
  if (type === 'F32') return new Uint8Array(Float32Array.from({ length: count }, () => random() - 0.5).buffer);
  if (type === 'F16' || type === 'BF16') {
    // Sign and mantissa are any, the exponent is one that makes about 1/16.
    const exponent = type === 'F16' ? 11 << 10 : 123 << 7;
    const mantissa = type === 'F16' ? 10 : 7;
    const values = Uint16Array.from(
      { length: count },
      () => (random() < 0.5 ? 0x8000 : 0) | exponent | Math.floor(random() * 2 ** mantissa),
    );
    return new Uint8Array(values.buffer);
  }
  if (type === 'I2_S') {
    const bytes = new Uint8Array(count / 4 + 32);
    for (let at = 0; at < count / 4; at++) {
      for (const shift of [0, 2, 4, 6]) bytes[at]! |= Math.floor(3 * random()) << shift;
    }
    new DataView(bytes.buffer).setFloat32(count / 4, 1 / 16, true);
    return bytes;
  }
  const [elements, blockBytes, scaleAt] = BLOCKS[type];
  const bytes = Uint8Array.from({ length: (count / elements) * blockBytes }, byte);
  const view = new DataView(bytes.buffer);
  for (let at = scaleAt; at < bytes.length; at += blockBytes) view.setUint16(at, 0x1400, true); // 2 ** -10
  return bytes;
}

/** Uniform in 0..1 (xorshift). */
function randomNumbers(): () => number {
  let state = 7;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
