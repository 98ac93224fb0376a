import { performance } from 'node:perf_hooks';
import type { CompletionOptions, ScreenedSession, Session } from '@bittern/engine';
import type { ChatMessage, ChatTemplate } from '@bittern/tokenizer';
import { timing, timingText } from './speed.ts';

/** Messages, and a session that answers the last of them. */
export class Conversation {
  readonly #session: Session | ScreenedSession;
  readonly #template: ChatTemplate;
  readonly #system: readonly ChatMessage[];
  readonly #completion: CompletionOptions & { readonly seed: number };
  #messages: ChatMessage[];
  #reused = 0;
  readonly #prompts = { tokens: 0, durationMs: 0 };
  readonly #answers = { tokens: 0, durationMs: 0 };

  /** @param system - the messages before all others */
  constructor(
    session: Session | ScreenedSession,
    template: ChatTemplate,
    system: readonly ChatMessage[],
    completion: CompletionOptions & { readonly seed: number },
  ) {
    this.#session = session;
    this.#template = template;
    this.#system = system;
    this.#completion = completion;
    this.#messages = [...system];
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  clear(): void {
    this.#messages = [...this.#system];
  }

  replace(messages: readonly ChatMessage[]): void {
    this.#messages = [...messages];
  }

  /**
   * The pieces of the answer to `content`. If it is aborted, the answer is what came until then; if it fails before it
   * begins, the conversation is as it was.
   */
  async *answer(content: string, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    const asked = [...this.#messages, { role: 'user', content }];
    const turn = asked.filter(({ role }) => role === 'user').length - 1;
    const seed = (this.#completion.seed + turn) % 2 ** 32;
    const { ids } = this.#template.encode(asked);
    let begin = performance.now();
    let hasBegun = false;
    let text = '';
    const onPrompt = ({ reused }: { reused: number }): void => {
      const now = performance.now();
      this.#reused += reused;
      this.#prompts.tokens += ids.length - reused;
      this.#prompts.durationMs += now - begin;
      begin = now;
      hasBegun = true;
    };
    try {
      for await (const piece of this.#session.generate(ids, { ...this.#completion, seed, signal, onPrompt })) {
        this.#answers.tokens += 1;
        text += piece.text;
        if (piece.text !== '') yield piece.text;
      }
    } finally {
      if (hasBegun) {
        this.#answers.durationMs += performance.now() - begin;
        this.#messages = [...asked, { role: 'assistant', content: text }];
      }
    }
  }

  /** For people. */
  stats(): string {
    const { position, contextLength } = this.#session;
    const prompts = timing(this.#prompts.tokens, this.#prompts.durationMs);
    const answers = timing(this.#answers.tokens, this.#answers.durationMs);
    return [
      `${this.#messages.length} messages, ${position} of ${contextLength} tokens in the context`,
      `prompts: ${timingText(prompts)}; ${this.#reused} more were in the cache`,
      `answers: ${timingText(answers)}`,
    ].join('\n');
  }
}
