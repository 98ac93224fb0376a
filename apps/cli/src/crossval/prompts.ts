import { startChat } from '../chat.ts';
import { UsageError } from '../errors.ts';
import type { LoadedTokenizer } from '../tokenizer-file.ts';
import type { CrossvalOptions } from './options.ts';

/** A prompt as it is tokenized, and whether control tokens in it are such. */
export interface Prompt {
  readonly text: string;
  readonly parseSpecial: boolean;
}

/** The prompts that were given; undefined where none was. */
export function promptsOf(options: CrossvalOptions, tokenizer: LoadedTokenizer): Prompt[] | undefined {
  const { prompt: prompts, promptTemplate, systemPrompt } = options;
  if (prompts === undefined) {
    if (promptTemplate === undefined && systemPrompt === undefined) return undefined;
    throw new UsageError('--prompt-template and --system-prompt need a prompt: give -p.');
  }
  if (systemPrompt !== undefined && promptTemplate === undefined) {
    throw new UsageError('--system-prompt needs a template to stand in: give --prompt-template, such as auto.');
  }
  return prompts.map((prompt) => promptOf(prompt, options, tokenizer));
}

function promptOf(
  prompt: string,
  { promptTemplate, systemPrompt, special }: CrossvalOptions,
  tokenizer: LoadedTokenizer,
): Prompt {
  if (promptTemplate === undefined || promptTemplate === 'raw') {
    const text = systemPrompt === undefined ? prompt : `${systemPrompt}\n\n${prompt}`;
    return { text, parseSpecial: special === true };
  }
  const { template, messages } = startChat(tokenizer, prompt, {
    template: promptTemplate,
    ...(systemPrompt === undefined ? {} : { system: systemPrompt }),
  });
  return { text: template.render(messages).text, parseSpecial: true };
}
