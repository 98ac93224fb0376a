import { type ChatMessage, type ChatTemplate, chatTemplate, detectTemplate, type TemplateId } from '@bittern/tokenizer';
import { inFile, UsageError } from './errors.ts';
import type { LoadedTokenizer } from './tokenizer-file.ts';

/** What the user said about the chat, by the names of the options. */
export interface ChatSelection {
  readonly template?: 'auto' | TemplateId;
  readonly system?: string;
}

/** A prompt as a template writes it. */
export interface Chat {
  readonly template: ChatTemplate;
  /** Why this template, for people. */
  readonly reason: string;
  readonly messages: readonly ChatMessage[];
}

/** The chat that `prompt` begins, as the user's message after the system's. */
export function startChat(loaded: LoadedTokenizer, prompt: string, selection: ChatSelection): Chat {
  const { template: wanted, system } = selection;
  if (system !== undefined && wanted === undefined) {
    throw new UsageError('--system needs a template to stand in: give --template too, such as --template auto.');
  }
  const user = { role: 'user', content: prompt };
  return { ...chooseTemplate(loaded, wanted), messages: [...systemMessages(selection), user] };
}

/** @param wanted - by the user; undefined is raw */
export function chooseTemplate(
  { tokenizer, chatTemplate: source, architecture, name }: LoadedTokenizer,
  wanted: ChatSelection['template'],
): Pick<Chat, 'template' | 'reason'> {
  const { id, reason } =
    wanted === 'auto'
      ? detectTemplate(tokenizer, { source, architecture })
      : { id: wanted ?? 'raw', reason: wanted === undefined ? 'none was chosen' : 'chosen by the user' };
  try {
    return { template: chatTemplate(id, tokenizer, source), reason };
  } catch (error) {
    throw inFile(name, error);
  }
}

/** The messages that stand before all others. */
export function systemMessages({ system }: ChatSelection): ChatMessage[] {
  return system === undefined ? [] : [{ role: 'system', content: system }];
}
