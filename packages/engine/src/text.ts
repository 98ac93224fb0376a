import type { GgufFile, GgufSource } from '@bittern/gguf-parser';
import { openGguf } from '@bittern/gguf-parser';
import {
  type ChatTemplate,
  chatTemplate,
  detectTemplate,
  type TemplateId,
  type Tokenizer,
  tokenizerFromGguf,
} from '@bittern/tokenizer';
import { loadModel, type LoadModelOptions, type Model } from './model.ts';

/** A model with a tokenizer: its sessions take and give text. */
export type TextModel = Model & { readonly tokenizer: Tokenizer };

export interface LoadTextModelOptions extends Omit<LoadModelOptions, 'tokenizer'> {
  /** Default: the file's own. */
  readonly tokenizer?: Tokenizer;
}

/**
 * Loads a model with the tokenizer that its GGUF file holds.
 *
 * @throws as `loadModel`, and {TokenizerError} from `@bittern/tokenizer` for a file without a usable tokenizer
 */
export async function loadTextModel(
  source: GgufSource | GgufFile | Uint8Array | ArrayBuffer,
  options: LoadTextModelOptions = {},
): Promise<TextModel> {
  const { signal, onWarning } = options;
  const gguf = 'tensors' in source ? source : await openGguf(source, signal ? { signal } : {});
  const tokenizer = options.tokenizer ?? tokenizerFromGguf(gguf.metadata, onWarning ? { onWarning } : {});
  return (await loadModel(gguf, { ...options, tokenizer })) as TextModel;
}

/**
 * The chat template of a model: `encode(messages).ids` is a prompt, `stopIds` and `stopStrings` end the answer.
 *
 * @param id - default: the one that fits the file (`detectTemplate` of `@bittern/tokenizer`)
 */
export function templateOf(model: TextModel, id?: TemplateId): ChatTemplate {
  const [source, architecture] = ['tokenizer.chat_template', 'general.architecture'].map((key) => {
    const value = model.gguf.metadata.get(key);
    return typeof value === 'string' ? value : undefined;
  });
  const { tokenizer } = model;
  return chatTemplate(id ?? detectTemplate(tokenizer, { source, architecture }).id, tokenizer, source);
}
