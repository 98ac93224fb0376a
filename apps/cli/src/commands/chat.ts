import { fileURLToPath } from 'node:url';
import type { HeadKind, Numerics } from '@bittern/engine';
import { modelUrl } from '@bittern/storyteller';
import { type Command, Option } from 'commander';
import { type ChatSelection, chooseTemplate, systemMessages } from '../chat.ts';
import { Conversation } from '../conversation.ts';
import { readConversation, writeConversation } from '../conversation-file.ts';
import { isUnusable, messageOf, UsageError } from '../errors.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { LineEditor } from '../line-editor.ts';
import { type LoadOptions, openModelFile } from '../model-file.ts';
import {
  headOption,
  layoutOption,
  numericsOption,
  preOption,
  systemOption,
  templateOption,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
  tokenizerOption,
  wholeNumber,
} from '../options.ts';
import {
  addSamplingOptions,
  refuseUnlessScreenable,
  samplingOf,
  type SamplingOptions,
  sessionOf,
  stopsOf,
} from '../sampling-options.ts';
import { loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';

interface ChatOptions extends LoadOptions, TokenizerSelection, ChatSelection, SamplingOptions {
  readonly model?: string;
  readonly tokens: number;
  readonly numerics: Numerics;
  readonly head: HeadKind;
}

const COMMANDS = `/help          these lines
/clear         forget the conversation
/stats         tokens, their speed and what was reused
/save FILE     write the conversation, as JSON
/load FILE     go on with one that was written
/exit          leave; so does Ctrl-D
Ctrl-C         stop the answer
`;

export function addChatCommand(program: Command, io: Io): void {
  const command = program
    .command('chat')
    .description('Talk with a model: a line is a message, what it answers comes on stdout.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .addOption(new Option('-n, --tokens <count>', 'most tokens of an answer').default(512).argParser(wholeNumber));
  addSamplingOptions(command)
    .addOption(templateOption('auto').default('auto'))
    .addOption(systemOption())
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(headOption())
    .addHelpText(
      'after',
      `
In a terminal lines can be edited, and the arrow keys bring former ones back. Each answer
has the bits of a run with the whole conversation as its prompt; what the cache holds of it
with the same bits is not evaluated again. Answer number n is drawn with --seed + n.

Commands, at the beginning of a line:
${COMMANDS.replaceAll(/^/gm, '  ').trimEnd()}

Examples:
  bittern chat -m model.gguf --system "Be brief."
  bittern chat --greedy < questions.txt > answers.txt

${EXIT_CODES_HELP}`,
    )
    .action((options: ChatOptions) => chat(options, io));
}

async function chat(options: ChatOptions, io: Io): Promise<void> {
  const { model: path = fileURLToPath(modelUrl), numerics, tokens: maxTokens } = options;
  const sampling = samplingOf(options, io);
  refuseUnlessScreenable(options.head, sampling);
  await using file = await openModelFile(path, io);
  const loaded = await loadTokenizer(file, options, io);
  const { template, reason } = chooseTemplate(loaded, options.template);
  const say = (text: string): void => io.stderr.write(`${text}\n`);
  say(`template ${template.id}: ${reason}`);
  using model = await file.load(numerics, options, loaded.tokenizer);
  warnIfForeign(loaded, model.config.vocabSize, io);
  using session = sessionOf(model, options.head, sampling);
  if (!options.greedy) say(`seed ${sampling.seed}`);
  if (io.isTerminal) say('/help tells what can be done.');

  const completion = { ...sampling, ...stopsOf(options, template), maxTokens };
  const conversation = new Conversation(session, template, systemMessages(options), completion);
  using lines = new LineEditor(io);
  for (;;) {
    const line = await lines.next();
    if (line === undefined) return;
    const [name = '', ...rest] = line.trim().split(/\s+/);
    const argument = rest.join(' ');
    try {
      if (name === '') continue;
      else if (name === '/exit') return;
      else if (name === '/help') io.stderr.write(COMMANDS);
      else if (name === '/clear') conversation.clear();
      else if (name === '/stats') say(conversation.stats());
      else if (name === '/save') {
        await writeConversation(pathOf(name, argument), conversation.messages);
        say(`${conversation.messages.length} messages written to ${argument}`);
      } else if (name === '/load') {
        conversation.replace(await readConversation(pathOf(name, argument), io));
        say(`${conversation.messages.length} messages read from ${argument}`);
      } else if (name.startsWith('/')) throw new UsageError(`There is no command ${name}; /help lists them.`);
      else await answer(conversation, line, lines, io);
    } catch (error) {
      // What cannot be done is told, and the conversation goes on; a mistake of ours ends it.
      if (io.signal.aborted || !(error instanceof UsageError || isUnusable(error))) throw error;
      say(messageOf(error));
    }
  }
}

function pathOf(command: string, argument: string): string {
  if (argument === '') throw new UsageError(`${command} needs the path of a file.`);
  return argument;
}

async function answer(conversation: Conversation, line: string, lines: LineEditor, io: Io): Promise<void> {
  const interrupted = new AbortController();
  const release = lines.takeInterrupts(() => interrupted.abort());
  try {
    for await (const text of conversation.answer(line, AbortSignal.any([io.signal, interrupted.signal]))) {
      await io.stdout.write(text);
    }
  } catch (error) {
    if (!interrupted.signal.aborted || io.signal.aborted) throw error;
  } finally {
    release();
  }
  await io.stdout.write('\n');
}
