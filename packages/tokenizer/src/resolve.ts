import { quote, TokenizerError } from './errors.ts';
import { hasTokenizer, type TokenizerMetadata } from './from-gguf.ts';
import { rejectUnknownOptions } from './options.ts';
import { type Tokenizer, tokenizerFromGguf, tokenizerFromJson, type TokenizerOptions } from './tokenizer.ts';

/** A tokenizer.json and what stands beside it, as text or parsed. */
export interface TokenizerFiles {
  /** For messages: the path of tokenizer.json. */
  readonly name: string;
  readonly json: unknown;
  /** tokenizer_config.json. */
  readonly config?: unknown;
  /** chat_template.jinja, which newer models have in place of the key in tokenizer_config.json. */
  readonly chatTemplate?: string;
}

/** A GGUF file, by its metadata. */
export interface GgufTokenizer {
  /** For messages: the path of the file. */
  readonly name: string;
  readonly metadata: TokenizerMetadata;
}

/** Where a tokenizer may come from, in the order in which they count. */
export interface TokenizerSources {
  /** What the user chose; nothing else is looked at then. */
  readonly explicit?: TokenizerFiles | GgufTokenizer;
  /** The model. */
  readonly gguf?: GgufTokenizer;
  /** A tokenizer.json in the model's folder. */
  readonly beside?: TokenizerFiles;
}

export interface ResolvedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly source: keyof TokenizerSources;
  /** The file it was read from. */
  readonly name: string;
  /** Why this one, for people. */
  readonly reason: string;
  /** Names the tokenizer in receipts: `tokenizer.digest()`. */
  readonly digest: string;
  /** The template (Jinja) that comes with the tokenizer, else that of the model. */
  readonly chatTemplate: string | undefined;
  /** What was said while loading. */
  readonly warnings: readonly string[];
}

/**
 * The one way to choose a tokenizer: what the user chose, else the GGUF file's own, else the tokenizer.json beside it.
 * A source that has a tokenizer but an unusable one is an error; nothing falls back.
 *
 * @throws TokenizerError TOKENIZER_NOT_FOUND if no source has a tokenizer, or any other code for one that is unusable
 */
export async function resolveTokenizer(
  sources: TokenizerSources,
  options: TokenizerOptions = {},
): Promise<ResolvedTokenizer> {
  rejectUnknownOptions(options, ['pre', 'onWarning']);
  const [source, chosen, reason] = choose(sources);
  const warnings: string[] = [];
  let loading = true;
  const onWarning = (message: string): void => {
    if (loading) warnings.push(message);
    options.onWarning?.(message);
  };
  const tokenizer = load(chosen, { ...options, onWarning });
  loading = false;
  return {
    tokenizer,
    source,
    name: chosen.name,
    reason,
    digest: await tokenizer.digest(),
    chatTemplate: templateOf(chosen) ?? (sources.gguf === undefined ? undefined : templateOf(sources.gguf)),
    warnings,
  };
}

function choose({
  explicit,
  gguf,
  beside,
}: TokenizerSources): [keyof TokenizerSources, TokenizerFiles | GgufTokenizer, string] {
  if (explicit !== undefined) return ['explicit', explicit, 'chosen by the user'];
  if (gguf !== undefined && hasTokenizer(gguf.metadata)) {
    return [
      'gguf',
      gguf,
      beside === undefined ? "the model file's own" : `the model file's own, before ${beside.name}`,
    ];
  }
  if (beside !== undefined) {
    return [
      'beside',
      beside,
      gguf === undefined ? 'beside the model' : 'beside the model, whose file has no tokenizer',
    ];
  }
  throw new TokenizerError(
    'TOKENIZER_NOT_FOUND',
    `No tokenizer: ${gguf === undefined ? 'no model file' : `${gguf.name} has none (key "tokenizer.ggml.model")`}, and ` +
      'no tokenizer.json is beside the model. Put one there, or choose one explicitly.',
  );
}

function load(from: TokenizerFiles | GgufTokenizer, options: TokenizerOptions): Tokenizer {
  if ('metadata' in from) return tokenizerFromGguf(from.metadata, options);
  if (options.pre !== undefined) {
    throw new TypeError(`The option \`pre\` is for GGUF files; ${from.name} has its pre-tokenizer in itself.`);
  }
  const { onWarning } = options;
  return tokenizerFromJson(
    parsed(from.json, from.name),
    from.config === undefined ? undefined : parsed(from.config, `${from.name}: tokenizer_config.json`),
    onWarning === undefined ? {} : { onWarning },
  );
}

function parsed(value: unknown, name: string): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch (error) {
    throw new TokenizerError('TOKENIZER_BAD_JSON', `${name} is not JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function templateOf(from: TokenizerFiles | GgufTokenizer): string | undefined {
  if ('metadata' in from) {
    const value = from.metadata.get('tokenizer.chat_template');
    if (value !== undefined && typeof value !== 'string') {
      throw new TokenizerError(
        'TOKENIZER_BAD_VALUE',
        `The key "tokenizer.chat_template" is ${quote(value)}, not text.`,
      );
    }
    return value;
  }
  if (from.chatTemplate !== undefined) return from.chatTemplate;
  const config = parsed(from.config ?? {}, from.name) as { chat_template?: unknown };
  const value = config.chat_template;
  // Several templates have names; the one to chat with is "default".
  const entry = Array.isArray(value)
    ? value.find((item: { name?: unknown }) => item.name === 'default')?.template
    : value;
  return typeof entry === 'string' ? entry : undefined;
}
