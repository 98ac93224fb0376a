import type { AddedToken, Splitter } from './special-tokens.ts';

/** How a token is used, by the numbers of `tokenizer.ggml.token_type`; llama.h, enum llama_token_type. */
export const TOKEN_TYPE = {
  undefined: 0,
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** Control and unknown tokens: never made from text unless asked for, left out of text with `skipSpecial`. */
export function isControl(type: number): boolean {
  return type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
}

/**
 * Tokens that end a generation, known by their text and control tokens whatever their type says.
 * Source: llama.cpp src/llama.cpp, llm_load_vocab, without its fill-in-the-middle tokens.
 */
export const END_OF_GENERATION_TEXTS: readonly string[] = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|eom_id|>',
  '<EOT>',
];

/** What a file says, checked, whichever kind of file it is: all that a tokenizer is made of. */
export interface TokenizerCore {
  /** `gpt2` (byte-level BPE) and `llama` (SentencePiece with scores) as GGUF names them, `bpe` for any other. */
  readonly model: 'gpt2' | 'llama' | 'bpe';
  /** The pre-tokenizer in force. */
  readonly pre: string;
  /** By id. Different from each other, none empty. */
  readonly tokens: readonly string[];
  /** By id, one of `TOKEN_TYPE`. */
  readonly types: Uint8Array;
  /** How normal tokens spell bytes: in GPT-2's characters, or as text with ▁ for a space. */
  readonly spelling: 'bytes' | 'spaces';
  /** Whether decoding drops a space before the first token, which encoding has put there. */
  readonly dropsFirstSpace: boolean;
  /** All control, unknown and user-defined tokens. */
  readonly addedTokens: readonly AddedToken[];
  /** Cuts text at all added tokens, and at those only that are found in any text. */
  readonly splitAtAll: Splitter;
  readonly splitAtPlain: Splitter;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly paddingId: number | undefined;
  readonly eogIds: ReadonlySet<number>;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /**
   * Appends the ids of text that holds no added token.
   * @param afterToken - whether it is the beginning of the text or follows an added token
   * @param isFirst - whether it is the beginning of the text
   */
  encodeText(text: string, out: number[], afterToken: boolean, isFirst: boolean): void;
  /** What else the ids depend on, as JSON: merges or scores, normalizer and so on. */
  rules(): unknown;
}
