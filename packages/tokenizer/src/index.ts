export { TokenizerError, type TokenizerErrorCode } from './errors.ts';
export {
  tokenizerFromGguf,
  type DecodeOptions,
  type EncodeOptions,
  type TextStream,
  type Tokenizer,
  type TokenizerOptions,
} from './tokenizer.ts';
export type { TokenizerMetadata } from './vocabulary.ts';
