import { GATED_METRICS, type GatedMetric, type Rung, RUNGS } from '@bittern/crossval';
import { EVALUATION_MODES, type EvaluationMode, type Numerics, NUMERICS } from '@bittern/engine';
import { TEMPLATE_IDS, type TemplateId } from '@bittern/tokenizer';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { LoadOptions } from '../model-file.ts';
import {
  jsonOption,
  layoutOption,
  numericsOption,
  positiveNumber,
  preOption,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
  tokenizerOption,
  wholeNumber,
} from '../options.ts';
import type { TokenizerSelection } from '../tokenizer-file.ts';

/** What `crossval` was asked, by the names of its options. */
export interface CrossvalOptions extends LoadOptions, TokenizerSelection {
  readonly model?: string;
  readonly prompt?: readonly string[];
  readonly promptTemplate?: 'auto' | TemplateId;
  readonly systemPrompt?: string;
  readonly special?: true;
  readonly mode?: EvaluationMode;
  readonly maxTokens?: number;
  readonly cppBackend?: Backend;
  readonly reference?: string;
  readonly referenceModel?: string;
  readonly referenceNumerics?: Numerics;
  readonly numerics?: Numerics;
  readonly ladder?: Rung;
  readonly only?: true;
  readonly from?: number;
  readonly positions?: number | 'all';
  readonly tracePositions: number;
  readonly exact?: true;
  readonly thresholds?: string;
  readonly cosTol?: number;
  readonly metrics?: readonly GatedMetric[];
  readonly calibrate?: true;
  readonly perOp?: true;
  readonly bisect?: true;
  readonly dumpIds?: true;
  readonly dumpCppIds?: true;
  readonly verbose?: true;
  readonly format?: 'text' | 'json';
  readonly json?: true;
  readonly html?: string;
  readonly junit?: string;
  readonly github?: true;
  readonly receipt?: string;
  readonly key?: string;
  readonly traces?: string;
}

/** What the other side can be, beside a model of ours. `installed`: the recording, and llama.cpp if it is installed. */
export const BACKENDS = ['recording', 'llama', 'bitnet', 'installed'] as const;
export type Backend = (typeof BACKENDS)[number];

/** Greedy ids of a prompt of the user's, unless told otherwise; as the parity playbook has it. */
export const DEFAULT_MAX_TOKENS = 4;
/** Greedy ids of a prompt in a C++ engine that runs. */
export const DEFAULT_LIVE_TOKENS = 16;

/** Names of metrics on the command line: the report's, and the playbook's. */
const METRIC_NAMES: Readonly<Record<string, GatedMetric>> = {
  ...Object.fromEntries(GATED_METRICS.map((metric) => [metric.toLowerCase(), metric])),
  bits: 'differing',
  max_abs: 'maxAbs',
  mean_abs: 'meanAbs',
  cos: 'cosine',
  topk: 'top5',
};

export function addCrossvalOptions(command: Command): Command {
  return command
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .option('-p, --prompt <text...>', 'compare these prompts (default: every prompt of the recording, else a few)')
    .addOption(
      new Option('--prompt-template <name>', 'chat template for the prompt')
        .choices(['auto', ...TEMPLATE_IDS])
        .default(undefined, 'raw, the text as it is'),
    )
    .option('--system-prompt <text>', "system message; the prompt is then the user's")
    .option('--special', 'special tokens written in the prompt become these tokens')
    .addOption(
      new Option('--mode <mode>', 'prompt in batches with logits of all positions, of the last, or one token at a time')
        .choices([...EVALUATION_MODES])
        .default(undefined, 'all that the reference has, batch-all for our own engine'),
    )
    .addOption(
      new Option('-n, --max-tokens <count>', 'greedy ids that are compared')
        .argParser(positiveNumber)
        .default(
          undefined,
          `all of a recording, ${DEFAULT_MAX_TOKENS} for a prompt, ${DEFAULT_LIVE_TOKENS} where a C++ engine runs`,
        ),
    )
    .option('--reference <folder>', "a recording of bitnet.cpp on that model (default: the storyteller's)")
    .addOption(
      new Option('--reference-model <file>', 'another model, which our own engine runs, as the reference').conflicts([
        'reference',
        'cppBackend',
      ]),
    )
    .addOption(
      new Option('--reference-numerics <build>', 'our own engine with other numerics as the reference')
        .choices([...NUMERICS])
        .conflicts(['reference', 'cppBackend']),
    )
    .addOption(backendOption())
    .addOption(numericsOption().default(undefined, 'every build in the recording; avx512 for a model'))
    .addOption(
      new Option('--ladder <rung>', 'climb up to this rung').choices([...RUNGS]).default(undefined, 'decode, all'),
    )
    .addOption(new Option('--only', 'of the rungs after preflight only the one that --ladder names'))
    .addOption(new Option('--from <position>', 'compare from this prompt position on').argParser(wholeNumber))
    .addOption(new Option('--positions <count>', 'compare this many prompt positions, or all').argParser(countOrAll))
    .addOption(
      new Option('--trace-positions <count>', 'trace this many ids of a prompt').argParser(positiveNumber).default(16),
    )
    .addOption(
      new Option('--exact', 'every bit must be equal').conflicts(['thresholds', 'cosTol', 'metrics', 'calibrate']),
    )
    .option('--thresholds <file>', 'limits as JSON (default: the parity playbook)')
    .addOption(new Option('--cos-tol <number>', 'least cosine similarity of a row').argParser(cosine))
    .addOption(
      new Option('--metrics <list>', `only these gate: ${Object.keys(METRIC_NAMES).join(', ')}`).argParser(metricList),
    )
    .option('--calibrate', 'measure the noise of the reference against itself, and let as much pass')
    .option('--per-op', "also feed each of our operations the reference's own inputs")
    .option('--bisect', 'find the shortest prefix of the prompt that diverges')
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .option('--dump-ids', 'print the token ids of our side')
    .option('--dump-cpp-ids', 'print the token ids of the reference')
    .option('--verbose', 'also print every position and every generated id')
    .addOption(new Option('--format <format>', 'what stdout gets').choices(['text', 'json']).conflicts('json'))
    .addOption(jsonOption())
    .option('--html <file>', 'also write a report as one HTML file')
    .option('--junit <file>', 'also write a report as JUnit XML')
    .option('--github', 'also write annotations of GitHub Actions to stderr, and the summary of the step')
    .option('--receipt <file>', 'also write a sealed receipt of what was compared, for verify-receipt')
    .option('--key <file>', 'sign it with this ed25519 key (PEM)')
    .option('--traces <folder>', 'also keep the traces of both sides there');
}

export function backendOption(): Option {
  const description =
    'a recording, a running llama.cpp or bitnet.cpp; installed: recording, and llama.cpp if it is installed';
  return new Option('--cpp-backend <name>', description).choices([...BACKENDS]).default(undefined, 'recording');
}

function countOrAll(text: string): number | 'all' {
  return text === 'all' ? text : positiveNumber(text);
}

function cosine(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= -1 && value <= 1)) {
    throw new InvalidArgumentError('It must be a number from -1 to 1.');
  }
  return value;
}

function metricList(text: string): GatedMetric[] {
  return text.split(',').map((name) => {
    const metric = METRIC_NAMES[name.trim().toLowerCase()];
    if (metric === undefined) {
      throw new InvalidArgumentError(`There is no metric "${name}". Known: ${Object.keys(METRIC_NAMES).join(', ')}.`);
    }
    return metric;
  });
}
