import { quote, TokenizerError } from './errors.ts';
import { parseJinja } from './jinja.ts';
import { rejectUnknownOptions } from './options.ts';
import { barrierFor, escapeOf, protectAll } from './protect.ts';
import type { Encoding, Tokenizer } from './tokenizer.ts';

export type TemplateId = 'raw' | 'instruct' | 'llama3-chat' | 'bitnet' | 'model';

export interface ChatMessage {
  /** `system`, `user` or `assistant`; a model's own template may know others. */
  readonly role: string;
  readonly content: string;
}

export interface RenderedChat {
  readonly text: string;
  /** The text with `barrier` where the user's text must not become control tokens. */
  readonly marked: string;
  readonly barrier: string;
}

export interface ChatTemplate {
  readonly id: TemplateId;
  /** Ids after which an answer ends: the tokenizer's and the template's. */
  readonly stopIds: ReadonlySet<number>;
  /** Texts before which an answer ends. */
  readonly stopStrings: readonly string[];
  /** @throws TokenizerError if the model's template fails or takes too much time or memory */
  render(messages: readonly ChatMessage[], options?: RenderOptions): RenderedChat;
  /**
   * Renders and encodes. The template's control tokens become tokens, those written in a message stay plain text. BOS
   * comes first as the tokenizer has it, and always with `llama3-chat` and `bitnet`, once.
   */
  encode(messages: readonly ChatMessage[], options?: RenderOptions): Encoding & { readonly text: string };
}

export interface RenderOptions {
  /** Whether the beginning of an answer is put at the end. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** For the model's own template: tells it the time (`strftime_now`). Default: it knows none. */
  readonly now?: Date;
  /** For the model's own template: more variables, such as `tools`. Texts in them are protected like messages. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

type Write = (messages: readonly ChatMessage[], options: RenderOptions & { readonly barrier: string }) => string;

interface Kind {
  /** Control tokens that the template writes, which the tokenizer must have. */
  readonly needs: readonly string[];
  /** Those among a tokenizer's control tokens that end an answer. */
  readonly stopTokens: readonly string[];
  readonly stopStrings: readonly string[];
  /** Whether it was trained with BOS, whatever the tokenizer's rule. */
  readonly wantsBos: boolean;
  readonly write: Write;
}

const KINDS: Readonly<Record<Exclude<TemplateId, 'model'>, Kind>> = {
  raw: {
    needs: [],
    stopTokens: [],
    stopStrings: [],
    wantsBos: false,
    write: (messages) => messages.map(({ content }) => content).join('\n\n'),
  },
  instruct: {
    needs: [],
    stopTokens: [],
    stopStrings: ['\n\nQ:', '\n\nHuman:'],
    wantsBos: false,
    write: (messages, { addGenerationPrompt = true }) => {
      const parts = messages.map(({ role, content }) => {
        if (role === 'system') return `System: ${content}\n\n`;
        return role === 'user' ? `Q: ${content}\n` : `A: ${content}\n\n`;
      });
      return parts.join('') + (addGenerationPrompt ? 'A:' : '');
    },
  },
  'llama3-chat': {
    needs: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
    stopTokens: ['<|eot_id|>', '<|end_of_text|>'],
    stopStrings: [],
    wantsBos: true,
    write: (messages, { addGenerationPrompt = true }) => {
      const header = (role: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n`;
      const parts = messages.map(({ role, content }) => `${header(role)}${content.trim()}<|eot_id|>`);
      return parts.join('') + (addGenerationPrompt ? header('assistant') : '');
    },
  },
  // As trained: tokenizer_config.json of microsoft/bitnet-b1.58-2B-4T. bitnet.cpp's own version of it leaves out the
  // <|eot_id|> after system and assistant.
  bitnet: {
    needs: ['<|eot_id|>'],
    stopTokens: ['<|eot_id|>', '<|end_of_text|>'],
    stopStrings: [],
    wantsBos: true,
    write: (messages, { addGenerationPrompt = true }) => {
      const parts = messages.map(({ role, content }) => `${capitalize(role)}: ${content.trim()}<|eot_id|>`);
      return parts.join('') + (addGenerationPrompt ? 'Assistant: ' : '');
    },
  },
};

/** All values that `chatTemplate` takes. */
export const TEMPLATE_IDS: readonly TemplateId[] = ['raw', 'instruct', 'llama3-chat', 'bitnet', 'model'];

/**
 * A template for a tokenizer.
 *
 * @param source - the model's own template (Jinja), needed for `model`
 * @throws TokenizerError TOKENIZER_BAD_TEMPLATE if the tokenizer lacks the template's tokens or the source is missing or
 *   malformed, TOKENIZER_TEMPLATE_LIMIT if it is too large
 */
export function chatTemplate(id: TemplateId, tokenizer: Tokenizer, source?: string): ChatTemplate {
  const kind = id === 'model' ? modelKind(tokenizer, source) : KINDS[id];
  if (kind === undefined) throw new TypeError(`Unknown template ${quote(id)}. Known: ${TEMPLATE_IDS.join(', ')}.`);
  const missing = kind.needs.filter((token) => !tokenizer.controlTokens.has(token));
  if (missing.length > 0) {
    throw new TokenizerError(
      'TOKENIZER_BAD_TEMPLATE',
      `The template ${id} needs the control tokens ${missing.join(', ')}, which this tokenizer does not have. ` +
        'Choose raw or instruct.',
    );
  }
  const controlTokens = [...tokenizer.controlTokens.keys()];
  const stopIds = new Set(tokenizer.eogIds);
  for (const token of kind.stopTokens) {
    const stopId = tokenizer.controlTokens.get(token);
    if (stopId !== undefined) stopIds.add(stopId);
  }
  return { id, stopIds, stopStrings: kind.stopStrings, render, encode };

  function render(messages: readonly ChatMessage[], options: RenderOptions = {}): RenderedChat {
    rejectUnknownOptions(options, ['addGenerationPrompt', 'now', 'variables']);
    const barrier = barrierFor(JSON.stringify([messages, options.variables, source]));
    const variables = protectAll(options.variables ?? {}, controlTokens, barrier) as Record<string, unknown>;
    const given = protectAll(messages, controlTokens, barrier) as readonly ChatMessage[];
    const written = kind!.write(given, { ...options, variables, barrier });
    const marked = written.replaceAll(escapeOf(barrier), barrier);
    return { text: marked.replaceAll(barrier, ''), marked, barrier };
  }

  function encode(messages: readonly ChatMessage[], options: RenderOptions = {}): Encoding & { readonly text: string } {
    const { text, marked, barrier } = render(messages, options);
    const { bosId } = tokenizer;
    const hasBos = bosId !== undefined && marked.startsWith(tokenizer.piece(bosId));
    const addBos = bosId !== undefined && !hasBos && (tokenizer.addBos || kind!.wantsBos);
    return { text, ...tokenizer.encodeWithOffsets(marked, { parseSpecial: true, addBos, addEos: false, barrier }) };
  }
}

function modelKind(tokenizer: Tokenizer, source: string | undefined): Kind {
  if (source === undefined || source.trim() === '') {
    throw new TokenizerError('TOKENIZER_BAD_TEMPLATE', 'The model has no template of its own. Choose another one.');
  }
  const template = parseJinja(source);
  const textOf = (id: number | undefined) => (id === undefined ? '' : tokenizer.piece(id));
  return {
    needs: [],
    stopTokens: [],
    stopStrings: [],
    wantsBos: false,
    write: (messages, { addGenerationPrompt = true, now, variables }) =>
      template.render(
        {
          bos_token: textOf(tokenizer.bosId),
          eos_token: textOf(tokenizer.eosId),
          ...variables,
          messages,
          add_generation_prompt: addGenerationPrompt,
        },
        now === undefined ? {} : { now },
      ),
  };
}

function capitalize(role: string): string {
  return role.slice(0, 1).toUpperCase() + role.slice(1).toLowerCase();
}

export interface TemplateChoice {
  readonly id: TemplateId;
  /** For people. */
  readonly reason: string;
}

/**
 * The template that fits a model.
 *
 * @param model.source - its own template (Jinja), if it has one
 * @param model.architecture - GGUF key `general.architecture`
 */
export function detectTemplate(
  tokenizer: Tokenizer,
  model: { readonly source?: string | undefined; readonly architecture?: string | undefined },
): TemplateChoice {
  const { source = '', architecture = '' } = model;
  const has = (...tokens: string[]) => tokens.every((token) => tokenizer.controlTokens.has(token));
  // Written by bitnet.cpp's converter in place of the model's template, and taken for a sign by bitnet.cpp too.
  // Source: microsoft/BitNet utils/convert-ms-to-gguf-bitnet.py; llama.cpp src/llama.cpp, llama_chat_apply_template.
  if (source.includes('BITNETAssistant')) {
    if (has('<|eot_id|>')) {
      return { id: 'bitnet', reason: "the template in the file is the placeholder that bitnet.cpp's converter writes" };
    }
    return { id: 'raw', reason: 'the template in the file is a placeholder, and the tokenizer has no <|eot_id|>' };
  }
  if (source.trim() !== '') return { id: 'model', reason: 'the model brings its own template' };
  if (architecture.startsWith('bitnet') && has('<|eot_id|>')) {
    return { id: 'bitnet', reason: `no template in the file; architecture ${architecture} with <|eot_id|>` };
  }
  if (has(...KINDS['llama3-chat'].needs)) {
    return { id: 'llama3-chat', reason: 'no template in the file; the tokenizer has the tokens of LLaMA 3 chat' };
  }
  return { id: 'raw', reason: 'no template in the file, and no tokens that tell of one' };
}
