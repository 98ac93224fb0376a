export {
  chatTemplate,
  detectTemplate,
  TEMPLATE_IDS,
  type ChatMessage,
  type ChatTemplate,
  type RenderedChat,
  type RenderOptions,
  type TemplateChoice,
  type TemplateId,
} from './chat.ts';
export { compareTokenizers, type TokenizerDifference } from './compare.ts';
export { TokenizerError, type TokenizerErrorCode } from './errors.ts';
export { explainPiece } from './explain.ts';
export type { TokenizerMetadata } from './from-gguf.ts';
export { preTokenizerNames } from './pre-tokenizers.ts';
export { protect } from './protect.ts';
export {
  resolveTokenizer,
  type GgufTokenizer,
  type ResolvedTokenizer,
  type TokenizerFiles,
  type TokenizerSources,
} from './resolve.ts';
export {
  tokenizerFromGguf,
  tokenizerFromJson,
  type DecodeOptions,
  type EncodeOptions,
  type Encoding,
  type TextStream,
  type Tokenizer,
  type TokenizerOptions,
} from './tokenizer.ts';
