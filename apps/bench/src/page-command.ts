import type { BenchDocument } from './report.ts';
import { printable } from './table.ts';

/** Commands of which a page can show results, and whether they measure the machine's limits. */
const COMMANDS: Readonly<Record<string, { readonly measuresLimits: boolean }>> = {
  decode: { measuresLimits: true },
  gguf: { measuresLimits: false },
  kernels: { measuresLimits: true },
  limits: { measuresLimits: true },
  load: { measuresLimits: true },
  overhead: { measuresLimits: true },
  prefill: { measuresLimits: true },
  tokenizer: { measuresLimits: false },
};

export function isKnownCommand(command: string): boolean {
  return Object.hasOwn(COMMANDS, command);
}

/** Whether a result has the limits of all numbers of threads, or is one of those that have none. */
export function hasItsLimits({ command, settings, limits }: BenchDocument): boolean {
  if (!COMMANDS[command]!.measuresLimits) return true;
  const counts = [settings['threads']].flat();
  return counts.length > 0 && counts.every((count) => limits.some(({ threads }) => threads === count));
}

/** Settings that are values of options. The others, such as the kernels that were chosen, say what came out. */
const OPTIONS = [
  'shape',
  'threads',
  'buffer',
  'tokens',
  'only',
  'prompt',
  'steps',
  'head',
  'timing',
  'most',
  'size',
  'numerics',
  'kernels',
  'repeats',
  'warmup',
];

/** What measures the same again, for a shell. */
export function commandLine({ command, settings }: BenchDocument): string {
  const options = OPTIONS.flatMap((name) => {
    const value = settings[name];
    return value === undefined || value === null ? [] : [`--${name} ${quoted(String(value))}`];
  });
  return ['pnpm -s bench', command, ...options, '--json'].join(' ');
}

/** A file for each result: with a number where a command has several. */
export function fileNames(documents: readonly BenchDocument[]): string[] {
  const all = Map.groupBy(documents, ({ command }) => command);
  return documents.map((document) => {
    const same = all.get(document.command)!;
    return same.length === 1 ? `${document.command}.json` : `${document.command}-${same.indexOf(document) + 1}.json`;
  });
}

function quoted(text: string): string {
  const shown = printable(text);
  return /^[\w./:,=@%+-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", String.raw`'\''`)}'`;
}
