import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GgufTensorData, writeGguf } from '@bittern/gguf-parser';
import { BridgeError } from './errors.ts';
import { NO_HOOKS } from './hooks.ts';
import type { ReferenceProcess } from './process.ts';
import type { CacheType } from './protocol.ts';
import { KNOWN_LOGITS } from './known-logits.ts';

/**
 * A model of architecture `bitnet` that is small enough to be written each time, and uneven enough that a parameter at a
 * wrong place changes its logits: grouped query heads, two layers, a RoPE base of its own.
 */
export const KNOWN_MODEL = {
  layers: 2,
  width: 32,
  feedForward: 48,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  vocabSize: 258,
  epsilon: 1e-5,
  ropeBase: 5000,
} as const;

/** The one merge of its vocabulary is `t h`; all other tokens are bytes, under their own number. */
export const KNOWN_TEXT = 'the cat';
export const KNOWN_IDS: readonly number[] = [256, 101, 32, 99, 97, 116];

/**
 * Largest error over the largest logit. F32 sums of other orders differ by some 1e-7; a cache in f16 by some 1e-4.
 */
const TOLERANCE = { f32: 5e-6, f16: 2e-3 } as const;

/** The model's weights by name, f32, rows outermost. */
export function knownTensors(): Map<string, { readonly shape: readonly number[]; readonly values: Float32Array }> {
  const { layers, width, feedForward, heads, kvHeads, headDim, vocabSize } = KNOWN_MODEL;
  const tensors = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  let state = 20_240_417;
  // Numerical Recipes' generator; its upper 16 bits, so that every value is exact in f32.
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 16) / 2 ** 15 - 1;
  };
  const matrix = (name: string, rows: number, columns: number): void => {
    const values = Float32Array.from({ length: rows * columns }, () => next() / 4);
    tensors.set(`${name}.weight`, { shape: [rows, columns], values });
  };
  const norm = (name: string, length: number): void => {
    tensors.set(`${name}.weight`, { shape: [length], values: Float32Array.from({ length }, () => 1 + next() / 2) });
  };
  matrix('token_embd', vocabSize, width);
  for (let layer = 0; layer < layers; layer++) {
    norm(`blk.${layer}.attn_norm`, width);
    matrix(`blk.${layer}.attn_q`, heads * headDim, width);
    matrix(`blk.${layer}.attn_k`, kvHeads * headDim, width);
    matrix(`blk.${layer}.attn_v`, kvHeads * headDim, width);
    norm(`blk.${layer}.attn_sub_norm`, width);
    matrix(`blk.${layer}.attn_output`, width, heads * headDim);
    norm(`blk.${layer}.ffn_norm`, width);
    matrix(`blk.${layer}.ffn_gate`, feedForward, width);
    matrix(`blk.${layer}.ffn_up`, feedForward, width);
    norm(`blk.${layer}.ffn_sub_norm`, feedForward);
    matrix(`blk.${layer}.ffn_down`, width, feedForward);
  }
  norm('output_norm', width);
  return tensors;
}

/** The model as a GGUF file. */
export async function knownModel(): Promise<Uint8Array> {
  const { layers, width, feedForward, heads, kvHeads, headDim, vocabSize, epsilon, ropeBase } = KNOWN_MODEL;
  const tensors: GgufTensorData[] = [...knownTensors()].map(([name, { shape, values }]) => ({
    name,
    type: 'F32',
    shape,
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  }));
  const tokens = [...byteSymbols(), 'th', '<s>'];
  const file = writeGguf({
    metadata: [
      ['general.architecture', 'string', 'bitnet'],
      ['bitnet.vocab_size', 'u32', vocabSize],
      ['bitnet.context_length', 'u32', 64],
      ['bitnet.embedding_length', 'u32', width],
      ['bitnet.block_count', 'u32', layers],
      ['bitnet.feed_forward_length', 'u32', feedForward],
      ['bitnet.attention.head_count', 'u32', heads],
      ['bitnet.attention.head_count_kv', 'u32', kvHeads],
      ['bitnet.attention.layer_norm_rms_epsilon', 'f32', Math.fround(epsilon)],
      ['bitnet.rope.dimension_count', 'u32', headDim],
      ['bitnet.rope.freq_base', 'f32', ropeBase],
      ['tokenizer.ggml.model', 'string', 'gpt2'],
      ['tokenizer.ggml.pre', 'string', 'default'],
      ['tokenizer.ggml.tokens', 'array<string>', tokens],
      ['tokenizer.ggml.token_type', 'array<i32>', tokens.map((token) => (token === '<s>' ? 3 : 1))],
      ['tokenizer.ggml.merges', 'array<string>', ['t h']],
      ['tokenizer.ggml.bos_token_id', 'u32', 257],
      ['tokenizer.ggml.eos_token_id', 'u32', 257],
      ['tokenizer.ggml.add_bos_token', 'bool', false],
    ],
    tensors,
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of file) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** GPT-2's printable character for each byte. */
function byteSymbols(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(printable ? byte : next++);
  });
}

/**
 * Loads the known model in a child that has opened a library, and compares its tokens and logits with what is known.
 *
 * @returns the largest error over the largest logit
 * @throws BridgeError BRIDGE_KNOWN_ANSWER
 */
export async function checkKnownAnswer(
  process: ReferenceProcess,
  kv: CacheType,
  signal?: AbortSignal,
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'bittern-known-answer-'));
  try {
    const model = join(folder, 'known.gguf');
    await writeFile(model, await knownModel());
    const context = { contextLength: 64, microBatch: 64, threads: 1, keys: kv, values: kv };
    const { vocabSize } = await process.request<'load'>({ kind: 'load', model, context, hooks: NO_HOOKS }, { signal });
    const { ids } = await process.request<'tokenize'>(
      { kind: 'tokenize', text: KNOWN_TEXT, parseSpecial: false, addSpecial: true },
      { signal },
    );
    if (vocabSize !== KNOWN_MODEL.vocabSize || ids.join() !== KNOWN_IDS.join()) {
      throw wrongAnswer(
        `it has ${vocabSize} tokens and gives ids ${ids.join()} for "${KNOWN_TEXT}", not ${KNOWN_IDS.join()}`,
      );
    }
    const rows: Float32Array[] = [];
    await process.request<'evaluate'>(
      { kind: 'evaluate', ids: KNOWN_IDS, mode: 'batch-all' },
      {
        signal,
        accepts: (header, length) =>
          header.kind === 'row' &&
          header.position === rows.length &&
          rows.length < KNOWN_IDS.length &&
          length === vocabSize,
        onItem: ({ values }) => rows.push(values),
      },
    );
    return requireKnownLogits(rows, TOLERANCE[kv]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function requireKnownLogits(rows: readonly Float32Array[], tolerance: number): number {
  let largest = 0;
  let error = 0;
  for (const [position, known] of KNOWN_LOGITS.entries()) {
    for (const [id, expected] of known) {
      // Written so that a missing or NaN value is the largest error.
      const difference = Math.abs((rows[position]?.[id] ?? NaN) - expected);
      if (!(difference <= error)) error = difference;
      largest = Math.max(largest, Math.abs(expected));
    }
  }
  const relative = error / largest;
  if (!(relative <= tolerance)) {
    throw wrongAnswer(`its logits are off by ${relative} of the largest; ${tolerance} is allowed`);
  }
  return relative;
}

function wrongAnswer(what: string): BridgeError {
  return new BridgeError(
    'BRIDGE_KNOWN_ANSWER',
    `The library computes something else than it should for a known model: ${what}. Its struct layouts may be others than the headers say, or the build is broken.`,
  );
}
