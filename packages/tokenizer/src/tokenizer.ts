import { bytesOfSpelling } from './byte-map.ts';
import { createWordEncoder } from './byte-pairs.ts';
import { rejectUnknownOptions } from './options.ts';
import { splitIntoWords } from './pre-tokenizers.ts';
import { splitAtSpecialTokens } from './special-tokens.ts';
import { isControl, readVocabulary, TOKEN_TYPE, type TokenizerMetadata, type Vocabulary } from './vocabulary.ts';

export interface EncodeOptions {
  /**
   * Whether control tokens written in the text become these tokens. Default false: they are plain text, so that a user
   * cannot write them. User-defined tokens (type 4) are found in either case, as in the reference.
   */
  readonly parseSpecial?: boolean;
  /** Default: the file's rule. */
  readonly addBos?: boolean;
  /** Default: the file's rule. */
  readonly addEos?: boolean;
}

export interface DecodeOptions {
  /** Whether control and unknown tokens are left out. Default false: they are spelled out. */
  readonly skipSpecial?: boolean;
}

/** Turns ids into text one by one. The text of all calls together is that of `decode`. */
export interface TextStream {
  /** The characters that are complete with this token; often none or several. */
  push(id: number): string;
  /** What remains: U+FFFD if a character was cut off, else nothing. The stream then starts anew. */
  flush(): string;
}

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly paddingId: number | undefined;
  /** Ids after which a generation ends. */
  readonly eogIds: ReadonlySet<number>;
  /** Whether `encode` puts BOS first unless told otherwise: the file's rule, else the pre-tokenizer's. */
  readonly addBos: boolean;
  /** Whether `encode` puts EOS last unless told otherwise. */
  readonly addEos: boolean;
  /** The pre-tokenizer in force: `llama-bpe` or `default`. */
  readonly pre: string;
  /** Lone surrogates count as U+FFFD. */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Exact: spaces stay as they are, and invalid UTF-8 becomes U+FFFD as with TextDecoder.
   * @throws RangeError for an id outside the vocabulary
   */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /**
   * One token for people to read: its text where that is valid UTF-8, otherwise, and for special tokens, its spelling
   * in the vocabulary.
   * @throws RangeError for an id outside the vocabulary
   */
  piece(id: number): string;
  /** A decoder that never splits a character. */
  decodeStream(options?: DecodeOptions): TextStream;
}

export interface TokenizerOptions {
  /** Pre-tokenizer to use in place of the file's: `llama-bpe` (also `llama3`, `llama-v3`) or `default`. */
  readonly pre?: string;
  /** Told what deserves attention, while loading and encoding. Default: nobody. */
  readonly onWarning?: (message: string) => void;
}

/**
 * The tokenizer of a GGUF file, from its metadata.
 *
 * @param metadata - of a file, or a Map with the `tokenizer.ggml.*` keys
 * @throws TokenizerError if the metadata makes no tokenizer, or one of an unknown kind
 */
export function tokenizerFromGguf(metadata: TokenizerMetadata, options: TokenizerOptions = {}): Tokenizer {
  rejectUnknownOptions(options, ['pre', 'onWarning']);
  const warn = options.onWarning ?? (() => {});
  return createTokenizer(readVocabulary(metadata, options.pre, warn), warn);
}

function createTokenizer(vocabulary: Vocabulary, warn: (message: string) => void): Tokenizer {
  const { tokens, types, bosId, eosId, preTokenizer } = vocabulary;
  const encodeWord = createWordEncoder(vocabulary);

  return {
    vocabSize: tokens.length,
    bosId,
    eosId,
    paddingId: vocabulary.paddingId,
    eogIds: vocabulary.eogIds,
    addBos: vocabulary.addBos,
    addEos: vocabulary.addEos,
    pre: preTokenizer.name,
    encode,
    decode,
    piece,
    decodeStream,
  };

  function encode(text: string, options: EncodeOptions = {}): number[] {
    rejectUnknownOptions(options, ['parseSpecial', 'addBos', 'addEos']);
    const { parseSpecial = false, addBos = vocabulary.addBos, addEos = vocabulary.addEos } = options;
    const ids: number[] = [];
    if (addBos) ids.push(existing(bosId, 'BOS'));
    const verbatim = parseSpecial ? vocabulary.specialTokens : vocabulary.userDefinedTokens;
    for (const fragment of splitAtSpecialTokens(text.toWellFormed(), verbatim)) {
      if (typeof fragment === 'number') ids.push(fragment);
      else for (const word of splitIntoWords(fragment, preTokenizer)) encodeWord(word, ids);
    }
    if (addBos && ids[1] === bosId) {
      warn('BOS was added to a text that begins with BOS. Leave it out of the text or use addBos: false.');
    }
    if (addEos) ids.push(existing(eosId, 'EOS'));
    return ids;
  }

  function decode(ids: readonly number[], options: DecodeOptions = {}): string {
    rejectUnknownOptions(options, ['skipSpecial']);
    const { skipSpecial = false } = options;
    const bytes: number[] = [];
    for (const id of ids) {
      for (const byte of bytesOf(id, skipSpecial)) bytes.push(byte);
    }
    return new TextDecoder('utf-8', KEEP_BOM).decode(Uint8Array.from(bytes));
  }

  function decodeStream(options: DecodeOptions = {}): TextStream {
    rejectUnknownOptions(options, ['skipSpecial']);
    const { skipSpecial = false } = options;
    const decoder = new TextDecoder('utf-8', KEEP_BOM);
    return {
      push: (id) => decoder.decode(bytesOf(id, skipSpecial), { stream: true }),
      flush: () => decoder.decode(),
    };
  }

  function piece(id: number): string {
    if (typeOf(id) !== TOKEN_TYPE.normal) return tokens[id]!;
    try {
      return new TextDecoder('utf-8', { ...KEEP_BOM, fatal: true }).decode(bytesOfSpelling(tokens[id]!));
    } catch {
      return tokens[id]!;
    }
  }

  function typeOf(id: number): number {
    const type = types[id];
    if (type === undefined)
      throw new RangeError(`Token id ${id} is outside the vocabulary (0 to ${tokens.length - 1}).`);
    return type;
  }

  /** Source: llama.cpp src/llama-vocab.cpp, llama_token_to_piece_impl: types not named here have no text. */
  function bytesOf(id: number, skipSpecial: boolean): Uint8Array {
    const type = typeOf(id);
    if (type === TOKEN_TYPE.normal) return bytesOfSpelling(tokens[id]!);
    if (type === TOKEN_TYPE.userDefined || (isControl(type) && !skipSpecial)) return utf8.encode(tokens[id]!);
    return NOTHING;
  }
}

const utf8 = new TextEncoder();
const NOTHING = new Uint8Array(0);
/** A U+FEFF at the beginning belongs to the text. */
const KEEP_BOM = { ignoreBOM: true };

function existing(id: number | undefined, name: string): number {
  if (id === undefined) throw new RangeError(`${name} is to be added, but the file names no such token.`);
  return id;
}
