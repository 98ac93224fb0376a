import { BYTE_CHARACTERS } from './byte-map.ts';
import { quote, TokenizerError } from './errors.ts';
import { preTokenizerNamed, type PreTokenizer } from './pre-tokenizers.ts';
import { inSearchOrder, type SpecialToken } from './special-tokens.ts';

/** Where the tokenizer is read from: the metadata of a GGUF file, or a Map with its keys. */
export interface TokenizerMetadata {
  get(key: string): unknown;
}

/** `tokenizer.ggml.token_type`, as in llama.h, enum llama_token_type. */
export const TOKEN_TYPE = {
  undefined: 0,
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** What the file says, checked. */
export interface Vocabulary {
  /** By id. Different from each other, none empty. */
  readonly tokens: readonly string[];
  /** By id, one of `TOKEN_TYPE`. */
  readonly types: Uint8Array;
  /** Ids of the tokens that ordinary text can become: all but control and unknown tokens. */
  readonly plainIds: ReadonlyMap<string, number>;
  /** In search order: what is matched verbatim if special tokens are parsed, and what is in any case. */
  readonly specialTokens: readonly SpecialToken[];
  readonly userDefinedTokens: readonly SpecialToken[];
  /** Left and right halves, best rank first, no pair twice. */
  readonly merges: readonly [string, string][];
  readonly preTokenizer: PreTokenizer;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly paddingId: number | undefined;
  readonly eogIds: ReadonlySet<number>;
  readonly addBos: boolean;
  readonly addEos: boolean;
}

/**
 * Tokens that end a generation, known by their text and control tokens whatever their type says.
 * Source: llama.cpp src/llama.cpp, llm_load_vocab, without its fill-in-the-middle tokens.
 */
const END_OF_GENERATION_TEXTS = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|eom_id|>',
  '<EOT>',
];

/** @throws TokenizerError */
export function readVocabulary(
  metadata: TokenizerMetadata,
  pre: string | undefined,
  warn: (message: string) => void,
): Vocabulary {
  checkModel(metadata);
  const preTokenizer = readPreTokenizer(metadata, pre, warn);
  const { tokens, ids } = readTokens(metadata, warn);
  const types = readTypes(metadata, tokens.length);

  const bosId = readId(metadata, 'tokenizer.ggml.bos_token_id', tokens.length);
  const eosId = readId(metadata, 'tokenizer.ggml.eos_token_id', tokens.length);
  const eogIds = new Set<number>();
  for (const text of END_OF_GENERATION_TEXTS) {
    const id = ids.get(text);
    if (id === undefined) continue;
    eogIds.add(id);
    if (types[id] !== TOKEN_TYPE.control) {
      warn(`Token ${id} ${quote(text)} ends a generation but has type ${types[id]}; it counts as a control token.`);
      types[id] = TOKEN_TYPE.control;
    }
  }
  const eotId = readId(metadata, 'tokenizer.ggml.eot_token_id', tokens.length);
  const eomId = readId(metadata, 'tokenizer.ggml.eom_token_id', tokens.length);
  for (const id of [eosId, eotId, eomId]) {
    if (id !== undefined) eogIds.add(id);
  }

  const addBos = readBoolean(metadata, 'tokenizer.ggml.add_bos_token') ?? preTokenizer.addBos;
  const addEos = readBoolean(metadata, 'tokenizer.ggml.add_eos_token') ?? false;
  if (addBos && bosId === undefined) throw missing('tokenizer.ggml.bos_token_id', 'BOS is to be added to every text.');
  if (addEos && eosId === undefined) throw missing('tokenizer.ggml.eos_token_id', 'EOS is to be added to every text.');

  const plainIds = new Map<string, number>();
  const specialTokens: SpecialToken[] = [];
  for (const [id, text] of tokens.entries()) {
    if (!isControl(types[id]!)) plainIds.set(text, id);
    if (isControl(types[id]!) || types[id] === TOKEN_TYPE.userDefined) specialTokens.push({ id, text });
  }
  const merges = readMerges(metadata);
  warnOfLoss(plainIds, merges, warn);

  const inOrder = inSearchOrder(specialTokens);
  return {
    tokens,
    types,
    plainIds,
    specialTokens: inOrder,
    userDefinedTokens: inOrder.filter(({ id }) => types[id] === TOKEN_TYPE.userDefined),
    merges,
    preTokenizer,
    bosId,
    eosId,
    paddingId: readId(metadata, 'tokenizer.ggml.padding_token_id', tokens.length),
    eogIds,
    addBos,
    addEos,
  };
}

/** Control and unknown tokens: never made from text unless asked for, left out of text with `skipSpecial`. */
export function isControl(type: number): boolean {
  return type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
}

function checkModel(metadata: TokenizerMetadata): void {
  const model = metadata.get('tokenizer.ggml.model');
  if (model === undefined) throw missing('tokenizer.ggml.model', 'The file has no tokenizer.');
  if (model !== 'gpt2') {
    throw new TokenizerError(
      'TOKENIZER_UNKNOWN_MODEL',
      `Unknown tokenizer model ${quote(model)} (key "tokenizer.ggml.model"). Known: gpt2 (byte-level BPE).`,
    );
  }
}

function readPreTokenizer(
  metadata: TokenizerMetadata,
  option: string | undefined,
  warn: (message: string) => void,
): PreTokenizer {
  if (option !== undefined) return preTokenizerNamed(option);
  const value = metadata.get('tokenizer.ggml.pre');
  // The reference takes an empty name for a missing one.
  if (value === undefined || value === '') {
    warn(
      'The file names no pre-tokenizer (key "tokenizer.ggml.pre"), so text is split with `default`, as bitnet.cpp does. ' +
        "A LLaMA 3 vocabulary was trained with another split; for better text use the option pre: 'llama-bpe'.",
    );
    return preTokenizerNamed('default');
  }
  if (typeof value !== 'string') throw badValue('tokenizer.ggml.pre', `is ${quote(value)}, not a string`);
  return preTokenizerNamed(value);
}

function readTokens(
  metadata: TokenizerMetadata,
  warn: (message: string) => void,
): { tokens: string[]; ids: Map<string, number> } {
  const key = 'tokenizer.ggml.tokens';
  const values = readStrings(metadata, key);
  if (values.length === 0) throw badValue(key, 'has no tokens');
  const tokens: string[] = [];
  const ids = new Map<string, number>();
  for (const [id, value] of values.entries()) {
    // The reference's name for an empty token.
    const token = value === '' ? `[EMPTY_${id}]` : value;
    const other = ids.get(token);
    if (other !== undefined) {
      throw new TokenizerError(
        'TOKENIZER_DUPLICATE_TOKEN',
        `Tokens ${other} and ${id} (key "${key}") are both ${quote(token)}. Convert the model again.`,
      );
    }
    ids.set(token, id);
    tokens.push(token);
  }
  const empty = values.indexOf('');
  if (empty >= 0) warn(`Token ${empty} (key "${key}") is empty; it and others like it are called "[EMPTY_${empty}]".`);
  return { tokens, ids };
}

/** Without the key all tokens are normal. */
function readTypes(metadata: TokenizerMetadata, count: number): Uint8Array {
  const key = 'tokenizer.ggml.token_type';
  const values: unknown = metadata.get(key);
  if (values === undefined) return new Uint8Array(count).fill(TOKEN_TYPE.normal);
  if (!Array.isArray(values) && !isNumericArray(values)) throw badValue(key, `is ${quote(values)}, not an array`);
  if (values.length !== count) throw badValue(key, `has ${values.length} entries for ${count} tokens`);
  const types = new Uint8Array(count);
  for (let id = 0; id < count; id++) {
    const type: unknown = values[id];
    if (typeof type !== 'number' || !Number.isInteger(type) || type < TOKEN_TYPE.undefined || type > TOKEN_TYPE.byte) {
      throw badValue(key, `has type ${quote(type)} for token ${id}; types are 0 to 6`);
    }
    types[id] = type;
  }
  return types;
}

function readMerges(metadata: TokenizerMetadata): [string, string][] {
  const key = 'tokenizer.ggml.merges';
  // Of equal merges the reference keeps the first; the library would keep the last.
  return [...new Set(readStrings(metadata, key))].map((merge) => {
    const space = merge.indexOf(' ', 1);
    if (space < 0 || space === merge.length - 1) {
      throw new TokenizerError('TOKENIZER_BAD_MERGE', `Merge ${quote(merge)} (key "${key}") is not "left right".`);
    }
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
}

function warnOfLoss(
  plainIds: ReadonlyMap<string, number>,
  merges: readonly [string, string][],
  warn: (message: string) => void,
): void {
  const bytes = BYTE_CHARACTERS.filter((character) => !plainIds.has(character));
  if (bytes.length > 0) {
    warn(
      `${bytes.length} of the 256 bytes have no token; text with such a byte loses it, as in bitnet.cpp. ` +
        `The first is ${quote(bytes[0])} (in GPT-2's spelling).`,
    );
  }
  const results = merges.filter(([left, right]) => !plainIds.has(left + right));
  if (results.length > 0) {
    warn(
      `${results.length} merges make a piece that is no token, which then becomes single ASCII characters and loses the ` +
        `others, as in bitnet.cpp. The first is ${quote(results[0]?.join(' '))}.`,
    );
  }
}

function readStrings(metadata: TokenizerMetadata, key: string): string[] {
  const values: unknown = metadata.get(key);
  if (values === undefined) throw missing(key, 'A byte-level BPE tokenizer needs it.');
  if (!Array.isArray(values)) throw badValue(key, `is ${quote(values)}, not an array`);
  for (const [index, value] of values.entries()) {
    // A lone surrogate, which no UTF-8 file can hold, would match half a character.
    if (typeof value !== 'string' || !value.isWellFormed()) {
      throw badValue(key, `has ${quote(value)} at index ${index}, not well-formed text`);
    }
  }
  return values;
}

function readId(metadata: TokenizerMetadata, key: string, vocabSize: number): number | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= vocabSize) {
    throw badValue(key, `is ${quote(value)}, not a token id (0 to ${vocabSize - 1})`);
  }
  return value;
}

function readBoolean(metadata: TokenizerMetadata, key: string): boolean | undefined {
  const value = metadata.get(key);
  if (value !== undefined && typeof value !== 'boolean') throw badValue(key, `is ${quote(value)}, not true or false`);
  return value;
}

function isNumericArray(value: unknown): value is ArrayLike<unknown> {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function missing(key: string, why: string): TokenizerError {
  return new TokenizerError('TOKENIZER_MISSING_KEY', `The file lacks the key "${key}". ${why}`);
}

function badValue(key: string, what: string): TokenizerError {
  return new TokenizerError('TOKENIZER_BAD_VALUE', `The key "${key}" ${what}. Convert the model again.`);
}
