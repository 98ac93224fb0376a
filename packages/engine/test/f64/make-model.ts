// Small random models in any of the types, as bytes of a GGUF file.
import { type GgufEntry, type GgufTensorData, openGguf, writeGguf } from '@bittern/gguf-parser';
import { largestOf, pack, type Type, unpack } from './formats.ts';

type Bytes = Uint8Array<ArrayBuffer>;

export interface MakeOptions {
  readonly architecture?: 'llama' | 'bitnet' | 'bitnet-b1.58' | 'bitnet-25';
  /** Of the linear layers; or of each by its name, such as `attn_q`. */
  readonly linear: Type | ((name: string) => Type);
  readonly embedding: Type;
  /** Default: tied. */
  readonly output?: Type;
  readonly biases?: boolean;
  readonly scales?: boolean;
  readonly ropeFreqs?: boolean;
  /** Default: embedding_length / head_count, 64. */
  readonly keyLength?: number;
  /** Default 256; not 256 only for types of smaller blocks. */
  readonly embeddingLength?: number;
}

const LAYERS = 2;
const VOCABULARY = 96;
const HEADS = 4;
const KV_HEADS = 2;

/** Uniform in -1..1 (xorshift). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  };
}

export async function makeModel(options: MakeOptions): Promise<Bytes> {
  const { architecture = 'llama', embeddingLength: width = 256, keyLength = width / HEADS } = options;
  const isLlama = architecture === 'llama';
  const wide = 2 * width;
  const random = randomNumbers(7);
  const tensors: GgufTensorData[] = [];
  const add = (name: string, type: Type, shape: readonly number[], make: () => number): void => {
    const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, make);
    tensors.push({ name, type, shape, data: pack(type, values) });
  };
  const linearLayer = (name: string, part: string, rows: number, columns: number): void => {
    const type = typeof options.linear === 'string' ? options.linear : options.linear(part);
    const gain = 2 / Math.sqrt(columns);
    // A third of zeros, for the ternary types, and values of some spread for the others.
    add(`${name}.weight`, type, [rows, columns], () => {
      const x = random();
      return Math.abs(x) < 1 / 3 ? 0 : x * gain;
    });
    if (options.scales) add(`${name}.scale`, 'F32', [1], () => 1 + random() / 2);
    if (options.biases) add(`${name}.bias`, 'F32', [rows], () => random() / 4);
  };
  const normLayer = (name: string, length: number): void =>
    add(`${name}.weight`, 'F32', [length], () => 1 + random() / 2);

  add('token_embd.weight', options.embedding, [VOCABULARY, width], random);
  for (let layer = 0; layer < LAYERS; layer++) {
    const at = (part: string): string => `blk.${layer}.${part}`;
    normLayer(at('attn_norm'), width);
    linearLayer(at('attn_q'), 'attn_q', HEADS * keyLength, width);
    linearLayer(at('attn_k'), 'attn_k', KV_HEADS * keyLength, width);
    linearLayer(at('attn_v'), 'attn_v', KV_HEADS * keyLength, width);
    if (!isLlama) normLayer(at('attn_sub_norm'), width);
    linearLayer(at('attn_output'), 'attn_output', width, HEADS * keyLength);
    normLayer(at('ffn_norm'), width);
    linearLayer(at('ffn_gate'), 'ffn_gate', wide, width);
    linearLayer(at('ffn_up'), 'ffn_up', wide, width);
    if (!isLlama) normLayer(at('ffn_sub_norm'), wide);
    linearLayer(at('ffn_down'), 'ffn_down', width, wide);
  }
  normLayer('output_norm', width);
  if (options.output) add('output.weight', options.output, [VOCABULARY, width], random);
  if (options.ropeFreqs) add('rope_freqs.weight', 'F32', [keyLength / 2], () => 2 + random());

  const u32 = (key: string, value: number): GgufEntry => [`${architecture}.${key}`, 'u32', value];
  const metadata: GgufEntry[] = [
    ['general.architecture', 'string', architecture],
    u32('context_length', 64),
    u32('embedding_length', width),
    u32('block_count', LAYERS),
    u32('feed_forward_length', wide),
    u32('attention.head_count', HEADS),
    u32('attention.head_count_kv', KV_HEADS),
    [`${architecture}.attention.layer_norm_rms_epsilon`, 'f32', 1e-5],
    [`${architecture}.rope.freq_base`, 'f32', 10_000],
  ];
  if (options.keyLength)
    metadata.push(u32('attention.key_length', keyLength), u32('attention.value_length', keyLength));
  return write(metadata, tensors);
}

async function write(metadata: readonly GgufEntry[], tensors: readonly GgufTensorData[]): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeGguf({ metadata, tensors })) chunks.push(chunk);
  const bytes = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/**
 * A ternary model of the repository with its I2_S weights in another type.
 *
 * @param scaled - whether the weights become -1, 0 and 1, and their scale a `.scale` tensor
 */
export async function rewritten(bytes: Bytes, type: Type, scaled: boolean): Promise<Bytes> {
  const gguf = await openGguf(bytes);
  const metadata = [...gguf.metadata.keys()]
    .filter((key) => !key.startsWith('tokenizer.'))
    .map((key): GgufEntry => {
      const value = gguf.metadata.get(key);
      if (typeof value === 'number') return [key, gguf.metadata.typeOf(key) === 'f32' ? 'f32' : 'u32', value];
      if (typeof value === 'string') return [key, 'string', value];
      throw new Error(`${key} is neither a number nor text`);
    });
  const tensors: GgufTensorData[] = [];
  for (const { name, type: own, shape, elementCount } of gguf.tensors.values()) {
    const data = await gguf.readTensor(name);
    if (own !== 'I2_S') {
      tensors.push({ name, type: own, shape, data });
      continue;
    }
    const values = Array.from(unpack('I2_S', data, elementCount));
    const scale = largestOf(values);
    tensors.push({ name, type, shape, data: pack(type, scaled ? values.map(Math.sign) : values) });
    if (scaled) {
      const scaleName = name.replace(/weight$/, 'scale');
      tensors.push({ name: scaleName, type: 'F32', shape: [1], data: pack('F32', [scale]) });
    }
  }
  return write(metadata, tensors);
}
