import { randomInt } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import {
  argmax,
  createSampler,
  generate,
  type HeadKind,
  type Logits,
  type Model,
  type Numerics,
  prefill,
  type Session,
} from '@bittern/engine';
import { modelUrl } from '@bittern/storyteller';
import { type Command, Option } from 'commander';
import { type ChatSelection, startChat } from '../chat.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import { UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { kernelReport } from '../kernel-report.ts';
import { type LoadOptions, openModelFile, sha256OfFile } from '../model-file.ts';
import {
  headOption,
  jsonOption,
  layoutOption,
  nonNegative,
  numericsOption,
  preOption,
  seedNumber,
  systemOption,
  templateOption,
  tokenizerOption,
  wholeNumber,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
} from '../options.ts';
import { writeJson } from '../output.ts';
import { StopStrings } from '../stop-strings.ts';
import { identityOf, loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';

interface RunOptions extends LoadOptions, TokenizerSelection, ChatSelection {
  readonly model?: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly greedy?: true;
  readonly seed?: number;
  readonly temperature: number;
  readonly topK: number;
  readonly numerics: Numerics;
  readonly head: HeadKind;
  readonly json?: true;
}

/** Why a generation ended: `context` is full, `count` is reached. */
type StopReason = 'end-of-text' | 'stop-string' | 'context' | 'count';

export function addRunCommand(program: Command, io: Io): void {
  program
    .command('run')
    .description('Print the prompt and how the model continues it.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .requiredOption('-p, --prompt <text>', 'the text to continue')
    .addOption(new Option('-n, --tokens <count>', 'most tokens to generate').default(64).argParser(wholeNumber))
    .addOption(new Option('--greedy', 'always take the most likely token').conflicts(['seed', 'temperature', 'topK']))
    .addOption(new Option('--seed <number>', 'repeats a run exactly (default: random)').argParser(seedNumber))
    .addOption(
      new Option('--temperature <number>', 'divides the logits; 0 is greedy').default(0.8).argParser(nonNegative),
    )
    .addOption(
      new Option('--top-k <count>', 'choose among this many tokens; 0 is all').default(40).argParser(wholeNumber),
    )
    .addOption(templateOption('raw, the text as it is'))
    .addOption(systemOption())
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(headOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The text is printed as it comes, the seed and timings on stderr. With a chat template
only the answer is printed; it ends before the template's stop tokens and strings.
--head screened wants --greedy or a --top-k. --json tells what each kernel did, too.

Examples:
  bittern run -p "Once upon a time" -n 64
  bittern run -m model.gguf -p "Once upon a time" --seed 7
  bittern run -m model.gguf -p "Once upon a time" --greedy --head screened
  bittern run -m model.gguf --template auto --system "Be brief." -p "Why is the sky blue?"

${EXIT_CODES_HELP}`,
    )
    .action((options: RunOptions) => run(options, io));
}

async function run(options: RunOptions, io: Io): Promise<void> {
  const { model: path = fileURLToPath(modelUrl), prompt, tokens: maxTokens, numerics, json } = options;
  const { signal } = io;
  const sampling = options.greedy
    ? undefined
    : { seed: options.seed ?? randomInt(2 ** 32), temperature: options.temperature, topK: options.topK };
  const sampler = sampling ? createSampler(sampling) : argmax;
  // Temperature 0 is greedy, too.
  const topK = sampling && sampling.temperature > 0 ? sampling.topK : 1;
  if (options.head === 'screened' && topK === 0) {
    throw new UsageError('--head screened computes only the largest logits: give a --top-k above 0, or --greedy.');
  }

  await using file = await openModelFile(path, io);
  const loaded = await loadTokenizer(file, options, io);
  const { tokenizer } = loaded;
  const { template, reason, messages } = startChat(loaded, prompt, options);
  const { ids, text: rendered } = template.encode(messages);
  if (options.template !== undefined) io.stderr.write(`template ${template.id}: ${reason}\n`);
  using model = await file.load(numerics, options);
  warnIfForeign(loaded, model.config.vocabSize, io);
  using session = sessionOf(model, options.head, topK);
  model.resetCounters();
  model.timeKernels(json === true);

  const prefillStart = performance.now();
  const logits = await prefill<Logits>(session, ids, 'batch-last', { signal });
  const decodeStart = performance.now();
  if (sampling) io.stderr.write(`seed ${sampling.seed}\n`);

  const text = tokenizer.decodeStream({ skipSpecial: true });
  const stopStrings = new StopStrings(template.stopStrings);
  const generated: number[] = [];
  let continuation = '';
  const emit = async (piece: string): Promise<void> => {
    continuation += piece;
    if (!json && piece !== '') await io.stdout.write(piece);
  };
  if (!json && template.id === 'raw') await io.stdout.write(rendered);
  for await (const id of generate(session, logits, { maxTokens, sampler, stopIds: template.stopIds, signal })) {
    generated.push(id);
    await emit(stopStrings.push(text.push(id)));
    if (stopStrings.found !== undefined) break;
  }
  await emit(stopStrings.push(text.flush()) + stopStrings.flush());
  if (!json) await io.stdout.write('\n');
  const end = performance.now();
  const kernels = kernelReport(model);

  // The first token comes out of the prompt's evaluation, each later one takes one of its own.
  const evaluated = session.position - ids.length;
  io.stderr.write(
    `prefill ${rate(ids.length, decodeStart - prefillStart)}, decode ${rate(evaluated, end - decodeStart)}\n`,
  );
  const stop = ((): StopReason => {
    if (stopStrings.found !== undefined) return 'stop-string';
    if (template.stopIds.has(generated.at(-1) ?? -1)) return 'end-of-text';
    return generated.length < maxTokens ? 'context' : 'count';
  })();
  if (stop === 'context') io.stderr.write(`stopped: the context of ${session.contextLength} tokens is full\n`);
  if (json) {
    await writeJson(io, {
      model: { file: path, sha256: await sha256OfFile(path, signal) },
      numerics,
      sampling: sampling ?? 'greedy',
      tokenizer: identityOf(loaded),
      template: { id: template.id, reason, text: rendered },
      prompt,
      ids,
      generated,
      text: continuation,
      stop,
      head: options.head,
      kernels,
    });
  }
}

/** A session of either kind; samplers take the logits of both. */
function sessionOf(model: Model, head: HeadKind, topK: number): Session<Logits> {
  const most = model.config.vocabSize;
  const session =
    head === 'screened' ? model.createSession({ head, topK: Math.min(topK, most) }) : model.createSession();
  return session as Session<Logits>;
}

function rate(tokens: number, durationMs: number): string {
  const perSecond = tokens === 0 ? '' : `, ${((1000 * tokens) / durationMs).toFixed(1)} tokens/s`;
  return `${tokens} tokens in ${(durationMs / 1000).toFixed(2)} s${perSecond}`;
}
