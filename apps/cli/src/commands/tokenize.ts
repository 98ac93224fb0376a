import type { EncodeOptions, Tokenizer } from '@bittern/tokenizer';
import { type Command, Option } from 'commander';
import { type ChatSelection, startChat } from '../chat.ts';
import { isUnusable, messageOf, NotComparedError, UsageError } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { openModelFile } from '../model-file.ts';
import { jsonOption, preOption, systemOption, templateOption, tokenIds, tokenizerOption } from '../options.ts';
import { warn, writeJson } from '../output.ts';
import { readStandardInput, readTextFile } from '../text-input.ts';
import { compareOn, type TokenizerComparison, textOfComparison } from '../tokenizer-comparison.ts';
import { describeTokenized, type EncodedText, textOfTokenized } from '../tokenized-text.ts';
import { identityOf, type LoadedTokenizer, loadTokenizer, type TokenizerSelection } from '../tokenizer-file.ts';

interface TokenizeOptions extends TokenizerSelection, ChatSelection {
  readonly model?: string;
  readonly prompt?: readonly string[];
  readonly file?: readonly string[];
  readonly special?: true;
  readonly bos: boolean;
  readonly explain?: true;
  readonly decode?: readonly number[];
  readonly skipSpecial?: true;
  readonly compare?: string;
  readonly json?: true;
}

/** @param setExitCode - called with the one of a comparison that found a difference */
export function addTokenizeCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('tokenize')
    .description("Print a text's token ids, their pieces and which tokenizer gave them; or the text of ids.")
    .option('-m, --model <file>', 'GGUF file whose tokenizer is used')
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(new Option('-p, --prompt <text>', 'the text; - reads it from standard input').argParser(append))
    .addOption(new Option('--file <file>', 'file with the text, all of which counts').argParser(append))
    .option('--special', 'special tokens written in the text, such as <|eot_id|>, become these tokens')
    .option('--no-bos', "no BOS token in front, whatever the file's rule")
    .addOption(templateOption('none, the text as it is').conflicts(['special', 'bos']))
    .addOption(systemOption())
    .option('--explain', 'pieces with visible whitespace, and what is special about a token')
    .addOption(
      new Option('--decode <list>', 'print the text of token ids, such as 1,2,3, in place of the ids of a text')
        .argParser(tokenIds)
        .conflicts(['prompt', 'file', 'special', 'bos', 'template', 'system', 'explain', 'compare']),
    )
    .option('--skip-special', 'with --decode: leave special tokens out')
    .addOption(
      new Option(
        '--compare <file>',
        'look for the first difference to the tokenizer of this tokenizer.json or GGUF file',
      ).conflicts(['template', 'system', 'explain']),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
-m or --tokenizer says which tokenizer. With --compare, -p and --file may be given many
times; the exit code is 0 if all ids are equal, 1 if not, 3 if they could not be compared.

Examples:
  bittern tokenize -m model.gguf -p "Once upon a time"
  bittern tokenize --tokenizer tokenizer.json --file story.txt --explain
  bittern tokenize -m model.gguf --template auto --system "Be brief." -p "Hello"
  bittern tokenize -m model.gguf --decode 2833,797,258,544
  bittern tokenize -m model.gguf --compare tokenizer.json --file story.txt

${EXIT_CODES_HELP}`,
    )
    .action(async (options: TokenizeOptions) => setExitCode(await tokenize(options, io)));
}

function append(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

async function tokenize(options: TokenizeOptions, io: Io): Promise<ExitCode> {
  if (options.model === undefined && options.tokenizer === undefined) {
    throw new UsageError('Which tokenizer is not said: give -m with a GGUF file, or --tokenizer.');
  }
  if (options.skipSpecial && options.decode === undefined) {
    throw new UsageError('--skip-special is for --decode; a text is tokenized with all of its characters.');
  }
  if (options.compare !== undefined) return compare(options, options.compare, io);
  await (options.decode === undefined ? encode(options, io) : decode(options, options.decode, io));
  return EXIT_CODES.success;
}

async function load(options: TokenizeOptions, io: Io): Promise<LoadedTokenizer> {
  if (options.model === undefined) return loadTokenizer(undefined, options, io);
  await using file = await openModelFile(options.model, io);
  return await loadTokenizer(file, options, io);
}

/** Those of `-p`, then those of `--file`. */
async function readTexts({ prompt = [], file = [] }: TokenizeOptions, io: Io): Promise<string[]> {
  if (prompt.length + file.length === 0) {
    throw new UsageError('What to tokenize is missing: give -p, --file or --decode.');
  }
  if (prompt.filter((text) => text === '-').length > 1) throw new UsageError('-p - can be given once.');
  const texts: string[] = [];
  for (const text of prompt) texts.push(text === '-' ? await readStandardInput(io) : text);
  for (const path of file) texts.push(await readTextFile(path, io));
  return texts;
}

async function encode(options: TokenizeOptions, io: Io): Promise<void> {
  const [text, ...more] = await readTexts(options, io);
  if (text === undefined || more.length > 0) {
    throw new UsageError('Give one text: one -p or one --file. Several are for --compare.');
  }
  const loaded = await load(options, io);
  const { template, system, explain, json } = options;
  const chat = template === undefined && system === undefined ? undefined : startChat(loaded, text, options);
  const encoded = chat ? chat.template.encode(chat.messages) : encodePlain(loaded.tokenizer, text, options);
  if (encoded.doubledBos) {
    warn(io, 'BOS was added to a text that begins with BOS. Leave it out of the text or give --no-bos.');
  }
  const document = describeTokenized(loaded, encoded, chat, explain === true);
  await (json ? writeJson(io, document) : io.stdout.write(textOfTokenized(document, encoded.text, loaded.tokenizer)));
}

function encodePlain(tokenizer: Tokenizer, text: string, options: TokenizeOptions): EncodedText {
  return { text, ...tokenizer.encodeWithOffsets(text, encodeOptions(options)) };
}

function encodeOptions({ special, bos }: TokenizeOptions): EncodeOptions {
  return { parseSpecial: special === true, ...(bos ? {} : { addBos: false }) };
}

async function decode(options: TokenizeOptions, ids: readonly number[], io: Io): Promise<void> {
  const loaded = await load(options, io);
  const text = loaded.tokenizer.decode(ids, { skipSpecial: options.skipSpecial === true });
  await (options.json ? writeJson(io, { tokenizer: identityOf(loaded), ids, text }) : io.stdout.write(`${text}\n`));
}

async function compare(options: TokenizeOptions, path: string, io: Io): Promise<ExitCode> {
  const comparison = await compareWith(options, path, io);
  await (options.json ? writeJson(io, comparison) : io.stdout.write(textOfComparison(comparison)));
  return comparison.verdict === 'equal' ? EXIT_CODES.success : EXIT_CODES.failed;
}

/** @throws NotComparedError if a tokenizer or a text cannot be used: that is no difference */
async function compareWith(options: TokenizeOptions, path: string, io: Io): Promise<TokenizerComparison> {
  try {
    const texts = await readTexts(options, io);
    if (texts.every((text) => text === '')) throw new NotComparedError('nothing was compared: there is no text.');
    const first = await load(options, io);
    const second = await loadTokenizer(undefined, { tokenizer: path }, io);
    return compareOn(first, second, texts, encodeOptions(options));
  } catch (error) {
    if (io.signal.aborted || !isUnusable(error)) throw error;
    throw new NotComparedError(`nothing was compared: ${messageOf(error)}`, { cause: error });
  }
}
