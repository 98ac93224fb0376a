import { availableParallelism } from 'node:os';
import { KERNEL_VARIANTS, type KernelVariant } from '@bittern/kernels';
import { NUMERICS, type Numerics } from '@bittern/engine';
import { type Command, InvalidArgumentError, Option } from 'commander';

/** What every command has. */
export interface CommonOptions {
  readonly repeats: number;
  readonly warmup: number;
  readonly json?: true;
  readonly markdown?: true;
}

/** What those have that run kernels, with the machine's limits beside them. */
export interface MachineOptions extends CommonOptions {
  readonly threads: readonly number[];
  readonly buffer: number;
}

/** What those have that run a model. */
export interface ModelOptions extends MachineOptions {
  readonly shape: string;
  readonly cacheDir?: string;
  readonly numerics: Numerics;
  readonly kernels: KernelVariant | 'auto';
}

export function commonOptions(defaults: { readonly repeats: number; readonly warmup: number }): Option[] {
  return [
    new Option('--repeats <count>', 'samples of each').default(defaults.repeats).argParser(positive),
    new Option('--warmup <count>', 'rounds before, which do not count').default(defaults.warmup).argParser(wholeNumber),
    new Option('--json', 'print one JSON document, raw samples included'),
    new Option('--markdown', 'print Markdown').conflicts('json'),
  ];
}

export function machineOptions(): Option[] {
  return [
    new Option('--threads <counts>', 'threads, or several counts to compare, such as 1,2')
      .default([availableParallelism()], 'as many as the machine runs at once')
      .argParser(positives),
    new Option('--buffer <MiB>', 'memory that is streamed through; much larger than the caches')
      .default(512)
      .argParser(bufferSize),
  ];
}

export function kernelsOption(): Option {
  return new Option('--kernels <variant>', 'which kernels run').choices(['auto', ...KERNEL_VARIANTS]).default('auto');
}

export function numericsOption(): Option {
  return new Option('--numerics <build>', 'build of bitnet.cpp whose bits are reproduced')
    .choices([...NUMERICS])
    .default('avx512');
}

export function shapeOptions(): Option[] {
  return [
    new Option('--shape <shape>', '2b4t or tiny, a synthetic model of that shape, or a GGUF file').default('2b4t'),
    new Option('--cache-dir <folder>', 'where synthetic models are kept (default: the cache folder of your system)'),
  ];
}

/** WebAssembly's memory ends at 4096 MiB, and what is measured has some beside the buffer. */
const MOST_BUFFER_MIB = 4000;

function bufferSize(text: string): number {
  const value = positive(text);
  if (value > MOST_BUFFER_MIB) throw new InvalidArgumentError(`It must be at most ${MOST_BUFFER_MIB}.`);
  return value;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('It must be a whole number from 0 up.');
  }
  return value;
}

export function positive(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('It must be a whole number from 1 up.');
  return value;
}

export function positives(text: string): number[] {
  const values = text.split(',').map((part) => positive(part.trim()));
  if (new Set(values).size < values.length) throw new InvalidArgumentError('It names a number twice.');
  return values;
}

/** A parser of some of a few words, such as exact,screened. */
export function listOf<Word extends string>(words: readonly Word[]): (text: string) => Word[] {
  return (text) => {
    const chosen = text.split(',').map((part) => {
      const word = words.find((known) => known === part.trim());
      if (word === undefined) throw new InvalidArgumentError(`Known: ${words.join(', ')}.`);
      return word;
    });
    if (new Set(chosen).size < chosen.length) throw new InvalidArgumentError('It names one twice.');
    return chosen;
  };
}

export function addOptions(command: Command, options: readonly Option[]): void {
  for (const option of options) command.addOption(option);
}
