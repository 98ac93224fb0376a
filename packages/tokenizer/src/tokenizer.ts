import { bytesOfSpelling } from './byte-map.ts';
import { isControl, TOKEN_TYPE, type TokenizerCore } from './core.ts';
import { digestOf } from './digest.ts';
import { coreFromGguf, type TokenizerMetadata } from './from-gguf.ts';
import { coreFromTokenizerJson } from './from-tokenizer-json.ts';
import { rejectUnknownOptions } from './options.ts';
import { SPACE } from './sentence-pieces.ts';

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
  /**
   * A character that is no part of the text: it is taken out, and no added token is recognised across it. So a text of
   * trusted and untrusted parts can be encoded as one; `protect` puts it where it is needed. Default: none.
   */
  readonly barrier?: string;
}

export interface Encoding {
  readonly ids: readonly number[];
  /** By token: `piece(id)`. */
  readonly pieces: readonly string[];
  /**
   * By token: where its bytes are in the UTF-8 of the text, from, to. Empty for BOS and EOS that were added. `undefined`
   * where a token's bytes are not those of the text: the tokenizer normalizes, or has no token for them.
   */
  readonly offsets: readonly (readonly [start: number, end: number] | undefined)[];
  /** BOS was added to a text that begins with it. */
  readonly doubledBos: boolean;
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
  /** `gpt2` (byte-level BPE), `llama` (SentencePiece with scores) or `bpe` (another tokenizer.json). */
  readonly model: 'gpt2' | 'llama' | 'bpe';
  /** The pre-tokenizer in force, by llama.cpp's name; one without a name there, as the JSON of tokenizer.json. */
  readonly pre: string;
  /** Control and unknown tokens by their text: what a user must not be able to write. */
  readonly controlTokens: ReadonlyMap<string, number>;
  /**
   * Lone surrogates count as U+FFFD.
   * @throws TokenizerError TOKENIZER_TEXT_TOO_LONG for a run of more than 2^20 letters, digits or others without a break
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** `encode`, with the pieces and where they are in the text. */
  encodeWithOffsets(text: string, options?: EncodeOptions): Encoding;
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
  /** A decoder that never splits a character. Linear time. */
  decodeStream(options?: DecodeOptions): TextStream;
  /**
   * SHA-256, in hexadecimal, of all that the ids of a text depend on: see `digestOf`. Equal for a GGUF file and a
   * tokenizer.json that hold the same tokenizer.
   */
  digest(): Promise<string>;
}

export interface TokenizerOptions {
  /** Pre-tokenizer to use in place of the file's, by a name that `preTokenizerNames()` lists. */
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
  return createTokenizer(coreFromGguf(metadata, options.pre, warn), warn);
}

/**
 * The tokenizer of a Hugging Face `tokenizer.json` (model BPE), with the ids of the library `tokenizers`.
 *
 * @param json - its content, parsed
 * @param config - that of `tokenizer_config.json`, which names EOS and may say whether BOS and EOS are added
 * @throws TokenizerError if the files make no tokenizer, or one with parts that are not supported
 */
export function tokenizerFromJson(
  json: unknown,
  config?: unknown,
  options: Pick<TokenizerOptions, 'onWarning'> = {},
): Tokenizer {
  rejectUnknownOptions(options, ['onWarning']);
  const warn = options.onWarning ?? (() => {});
  return createTokenizer(coreFromTokenizerJson(json, config, warn), warn);
}

/** A run of ids, and the text they were made from: empty for BOS and EOS that were added. */
type Visit = (text: string, ids: readonly number[]) => void;

function createTokenizer(core: TokenizerCore, warn: (message: string) => void): Tokenizer {
  const { tokens, types, bosId, eosId } = core;
  let digest: Promise<string> | undefined;

  return {
    vocabSize: tokens.length,
    bosId,
    eosId,
    paddingId: core.paddingId,
    eogIds: core.eogIds,
    addBos: core.addBos,
    addEos: core.addEos,
    model: core.model,
    pre: core.pre,
    controlTokens: new Map(
      core.addedTokens.filter(({ id }) => isControl(types[id]!)).map(({ id, text }) => [text, id]),
    ),
    encode,
    encodeWithOffsets,
    decode,
    piece,
    decodeStream,
    digest: () => (digest ??= digestOf(core)),
  };

  function encode(text: string, options: EncodeOptions = {}): number[] {
    const all: number[] = [];
    const doubled = encodeParts(text, options, (_, ids) => {
      for (const id of ids) all.push(id);
    });
    if (doubled) {
      warn('BOS was added to a text that begins with BOS. Leave it out of the text or use addBos: false.');
    }
    return all;
  }

  function encodeWithOffsets(text: string, options: EncodeOptions = {}): Encoding {
    const all: number[] = [];
    const offsets: (readonly [number, number] | undefined)[] = [];
    let start = 0;
    const doubledBos = encodeParts(text, options, (part, ids) => {
      const bytes = utf8.encode(part);
      for (const id of ids) all.push(id);
      for (const offset of placesOf(ids, bytes)) {
        offsets.push(offset === undefined ? undefined : [start + offset[0], start + offset[1]]);
      }
      start += bytes.length;
    });
    return { ids: all, pieces: all.map(piece), offsets, doubledBos };
  }

  /** @returns whether BOS was added to a text that begins with it */
  function encodeParts(text: string, options: EncodeOptions, visit: Visit): boolean {
    rejectUnknownOptions(options, ['parseSpecial', 'addBos', 'addEos', 'barrier']);
    const { parseSpecial = false, addBos = core.addBos, addEos = core.addEos, barrier = '' } = options;
    if (addBos) visit('', [existing(bosId, 'BOS')]);
    const split = parseSpecial ? core.splitAtAll : core.splitAtPlain;
    let first: number | undefined;
    let afterToken = true;
    for (const [index, fragment] of split(text.toWellFormed()).entries()) {
      if (fragment.id === undefined) {
        const part = barrier === '' ? fragment.text : fragment.text.replaceAll(barrier, '');
        // Nothing but the barrier: a place between two tokens, where SentencePiece would put a space.
        if (part === '') continue;
        const ids: number[] = [];
        core.encodeText(part, ids, afterToken, index === 0);
        visit(part, ids);
        if (index === 0) first = ids[0];
      } else {
        visit(fragment.text, [fragment.id]);
        if (index === 0) first = fragment.id;
      }
      afterToken = fragment.id !== undefined;
    }
    if (addEos) visit('', [existing(eosId, 'EOS')]);
    return addBos && first === bosId;
  }

  /** Where the bytes of each token are among those of the text that they were made from. */
  function placesOf(ids: readonly number[], text: Uint8Array): readonly (readonly [number, number] | undefined)[] {
    if (text.length === 0 || ids.length === 1) return ids.map(() => [0, text.length]);
    const parts = ids.map((id) => bytesOf(id, false));
    const total = parts.reduce((sum, { length }) => sum + length, 0);
    // A space that stands before the text is no part of it.
    const added = total === text.length + 1 && parts[0]?.[0] === 0x20 ? 1 : 0;
    let end = -added;
    const places = parts.map((bytes): readonly [number, number] | undefined => {
      const start = end;
      end += bytes.length;
      const same = bytes.every((byte, index) => start + index < 0 || byte === text[start + index]);
      return same ? [Math.max(start, 0), end] : undefined;
    });
    return end === text.length && !places.includes(undefined) ? places : ids.map(() => undefined);
  }

  function decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const stream = byteStream(options);
    const bytes: number[] = [];
    for (const id of ids) {
      for (const byte of stream(id)) bytes.push(byte);
    }
    return new TextDecoder('utf-8', KEEP_BOM).decode(Uint8Array.from(bytes));
  }

  function decodeStream(options: DecodeOptions = {}): TextStream {
    let bytesOfNext = byteStream(options);
    const decoder = new TextDecoder('utf-8', KEEP_BOM);
    return {
      push: (id) => decoder.decode(bytesOfNext(id), { stream: true }),
      flush: () => {
        bytesOfNext = byteStream(options);
        return decoder.decode();
      },
    };
  }

  /** The bytes of one token after the other, without the space that encoding put before the first. */
  function byteStream(options: DecodeOptions): (id: number) => Uint8Array {
    rejectUnknownOptions(options, ['skipSpecial']);
    const { skipSpecial = false } = options;
    let atBeginning = core.dropsFirstSpace;
    return (id) => {
      const bytes = bytesOf(id, skipSpecial);
      if (!atBeginning || isControl(types[id]!) || bytes.length === 0) return bytes;
      atBeginning = false;
      return bytes[0] === 0x20 ? bytes.subarray(1) : bytes;
    };
  }

  function piece(id: number): string {
    if (typeOf(id) !== TOKEN_TYPE.normal) return tokens[id]!;
    try {
      return new TextDecoder('utf-8', { ...KEEP_BOM, fatal: true }).decode(bytesOf(id, false));
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
    const token = tokens[id]!;
    if (type === TOKEN_TYPE.normal) {
      return core.spelling === 'bytes' ? bytesOfSpelling(token) : utf8.encode(token.replaceAll(SPACE, ' '));
    }
    if (type === TOKEN_TYPE.byte && core.spelling === 'spaces')
      return Uint8Array.of(Number.parseInt(token.slice(3, 5), 16));
    if (type === TOKEN_TYPE.userDefined || (isControl(type) && !skipSpecial)) return utf8.encode(token);
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
