import { BYTE_CHARACTERS } from './byte-map.ts';
import { bytePairEncoder } from './byte-pairs.ts';
import { END_OF_GENERATION_TEXTS, isControl, TOKEN_TYPE, type TokenizerCore } from './core.ts';
import { quote, TokenizerError } from './errors.ts';
import { preTokenizerNamed, type PreTokenizer } from './pre-tokenizers.ts';
import { byteToken, sentencePieceEncoder, SPACE } from './sentence-pieces.ts';
import { type AddedToken, longestFirstSplitter } from './special-tokens.ts';

/** Where the tokenizer is read from: the metadata of a GGUF file, or a Map with its keys. */
export interface TokenizerMetadata {
  get(key: string): unknown;
}

type Warn = (message: string) => void;

/** The part of a tokenizer in which the models differ. */
type ModelPart = Pick<TokenizerCore, 'model' | 'pre' | 'spelling' | 'dropsFirstSpace' | 'encodeText' | 'rules'>;

/** @throws TokenizerError */
export function coreFromGguf(metadata: TokenizerMetadata, pre: string | undefined, warn: Warn): TokenizerCore {
  const model = readModel(metadata);
  const preTokenizer = model === 'gpt2' ? readPreTokenizer(metadata, pre, warn) : undefined;
  const { tokens, ids } = readTokens(metadata, warn);
  const types = readTypes(metadata, tokens.length);

  // SentencePiece numbers its first tokens so; llama.cpp takes these where the file is silent.
  const byDefault = (id: number) => (model === 'llama' && id < tokens.length ? id : undefined);
  const bosId = readId(metadata, 'tokenizer.ggml.bos_token_id', tokens.length) ?? byDefault(1);
  const eosId = readId(metadata, 'tokenizer.ggml.eos_token_id', tokens.length) ?? byDefault(2);
  const unknownId = readId(metadata, 'tokenizer.ggml.unknown_token_id', tokens.length) ?? byDefault(0);
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

  const addBos = readBoolean(metadata, 'tokenizer.ggml.add_bos_token') ?? preTokenizer?.addBos ?? true;
  const addEos = readBoolean(metadata, 'tokenizer.ggml.add_eos_token') ?? false;
  if (addBos && bosId === undefined) throw missing('tokenizer.ggml.bos_token_id', 'BOS is to be added to every text.');
  if (addEos && eosId === undefined) throw missing('tokenizer.ggml.eos_token_id', 'EOS is to be added to every text.');

  const plainIds = new Map<string, number>();
  const addedTokens: AddedToken[] = [];
  const takesSpaceAfter = isPhi3(metadata);
  for (const [id, text] of tokens.entries()) {
    if (!isControl(types[id]!)) plainIds.set(text, id);
    if (isControl(types[id]!) || types[id] === TOKEN_TYPE.userDefined) {
      addedTokens.push({ id, text, rstrip: takesSpaceAfter && !NO_SPACE_AFTER.has(text) });
    }
  }

  return {
    ...(preTokenizer === undefined
      ? sentencePieces(metadata, plainIds, tokens.length, unknownId, warn)
      : bytePairs(metadata, plainIds, preTokenizer, warn)),
    tokens,
    types,
    addedTokens,
    splitAtAll: longestFirstSplitter(addedTokens),
    splitAtPlain: longestFirstSplitter(addedTokens.filter(({ id }) => types[id] === TOKEN_TYPE.userDefined)),
    bosId,
    eosId,
    paddingId: readId(metadata, 'tokenizer.ggml.padding_token_id', tokens.length),
    eogIds,
    addBos,
    addEos,
  };
}

/** Whether the file has a tokenizer at all. */
export function hasTokenizer(metadata: TokenizerMetadata): boolean {
  const model = metadata.get('tokenizer.ggml.model');
  return model !== undefined && model !== 'none' && model !== 'no_vocab';
}

function bytePairs(
  metadata: TokenizerMetadata,
  plainIds: ReadonlyMap<string, number>,
  preTokenizer: PreTokenizer,
  warn: Warn,
): ModelPart {
  const merges = readMerges(metadata);
  warnOfLoss(plainIds, merges, warn);
  return {
    model: 'gpt2',
    pre: preTokenizer.name,
    spelling: 'bytes',
    dropsFirstSpace: false,
    encodeText: bytePairEncoder(merges, plainIds, preTokenizer),
    rules: () => ({ merges, ignoreMerges: preTokenizer.ignoreMerges }),
  };
}

function sentencePieces(
  metadata: TokenizerMetadata,
  plainIds: ReadonlyMap<string, number>,
  vocabSize: number,
  unknownId: number | undefined,
  warn: Warn,
): ModelPart {
  const scores = readScores(metadata, vocabSize);
  const prefix = (readBoolean(metadata, 'tokenizer.ggml.add_space_prefix') ?? true) ? SPACE : '';
  const bytes = Array.from({ length: 256 }, (_, byte) => byteToken(byte)).filter((token) => !plainIds.has(token));
  if (bytes.length > 0) {
    warn(`${bytes.length} of the 256 bytes have no token, the first ${bytes[0]}; they become the unknown token.`);
  }
  const encodePieces = sentencePieceEncoder(plainIds, scores, unknownId);
  return {
    model: 'llama',
    pre: 'default',
    spelling: 'spaces',
    dropsFirstSpace: prefix !== '',
    // As in llama.cpp: a space also after each special token, where Hugging Face's newer tokenizers add none.
    encodeText: (text, out, afterToken) => encodePieces((afterToken ? prefix : '') + text.replaceAll(' ', SPACE), out),
    rules: () => ({ scores: [...scores], addSpacePrefix: prefix !== '', unknownId: unknownId ?? null }),
  };
}

/** Source: llama.cpp src/llama-vocab.cpp, llama_vocab::impl::load, "Handle per token attributes". */
function isPhi3(metadata: TokenizerMetadata): boolean {
  const name = metadata.get('general.name');
  return typeof name === 'string' && /phi-?3/i.test(name);
}
const NO_SPACE_AFTER = new Set(['<unk>', '<s>', '<|endoftext|>']);

function readModel(metadata: TokenizerMetadata): 'gpt2' | 'llama' {
  const model = metadata.get('tokenizer.ggml.model');
  if (model === undefined) throw missing('tokenizer.ggml.model', 'The file has no tokenizer.');
  if (model !== 'gpt2' && model !== 'llama') {
    throw new TokenizerError(
      'TOKENIZER_UNKNOWN_MODEL',
      `Unknown tokenizer model ${quote(model)} (key "tokenizer.ggml.model"). ` +
        'Known: gpt2 (byte-level BPE), llama (SentencePiece).',
    );
  }
  return model;
}

function readScores(metadata: TokenizerMetadata, count: number): Float32Array {
  const key = 'tokenizer.ggml.scores';
  const values: unknown = metadata.get(key);
  if (values === undefined) throw missing(key, 'A SentencePiece tokenizer needs it.');
  if (!Array.isArray(values) && !isNumericArray(values)) throw badValue(key, `is ${quote(values)}, not an array`);
  if (values.length !== count) throw badValue(key, `has ${values.length} entries for ${count} tokens`);
  const scores = new Float32Array(count);
  for (let id = 0; id < count; id++) {
    const score: unknown = values[id];
    if (typeof score !== 'number' || !Number.isFinite(score)) {
      throw badValue(key, `has score ${quote(score)} for token ${id}`);
    }
    scores[id] = score;
  }
  return scores;
}

function readPreTokenizer(metadata: TokenizerMetadata, option: string | undefined, warn: Warn): PreTokenizer {
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

function readTokens(metadata: TokenizerMetadata, warn: Warn): { tokens: string[]; ids: Map<string, number> } {
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

function warnOfLoss(plainIds: ReadonlyMap<string, number>, merges: readonly [string, string][], warn: Warn): void {
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
  if (values === undefined) throw missing(key, 'A tokenizer needs it.');
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
