import { EVALUATION_MODES, HEAD_KINDS, I2S_LAYOUTS, NUMERICS, TL1_KERNELS } from '@bittern/engine';
import type { GgufDialectName } from '@bittern/gguf-parser';
import { KERNEL_VARIANTS } from '@bittern/kernels';
import { preTokenizerNames, TEMPLATE_IDS } from '@bittern/tokenizer';
import { InvalidArgumentError, Option } from 'commander';
import { MOST_THREADS } from './environment.ts';

// Options that several commands have, and the parsers of their values.

export function numericsOption(): Option {
  return new Option('--numerics <build>', 'build of bitnet.cpp whose bits are reproduced').choices([...NUMERICS]);
}

export function layoutOption(): Option {
  const description = 'how the file packs I2_S weights, which it does not say';
  return new Option('--layout <layout>', description).choices([...I2S_LAYOUTS]).default('128x32');
}

export function tl1TilingOption(): Option {
  const description = 'how the file packs TL1 weights, which it does not say: JSON, {"MxK": [BM, BBK, bm], ...}';
  return new Option('--tl1-tiling <file>', description);
}

export function tl1KernelOption(): Option {
  const description = 'how TL1 weights are run; results do not depend on it';
  return new Option('--tl1-kernel <kernel>', description).choices([...TL1_KERNELS]).default('transcode');
}

const DIALECTS: readonly GgufDialectName[] = ['ggml', 'bitnet.cpp', 'bitnet.cpp-2026'];

export function dialectOption(): Option {
  const description = 'what the numbers of tensor types mean (default: decided from the file)';
  return new Option('--dialect <name>', description).choices([...DIALECTS]);
}

export function modeOption(): Option {
  const description = 'prompt in batches with logits of all positions, of the last, or one token at a time';
  return new Option('--mode <mode>', description).choices([...EVALUATION_MODES]).default('batch-all');
}

export function threadsOption(): Option {
  const description = 'threads that share each operation; results do not depend on them';
  return new Option('--threads <count>', description)
    .default(undefined, 'auto: as many as the machine runs at once, one for a small model')
    .argParser(threadCount);
}

export function headOption(): Option {
  const description = 'screened: an int8 copy of the head tells which logits to compute; same text, more memory';
  return new Option('--head <head>', description).choices([...HEAD_KINDS]).default('exact');
}

export function kernelsOption(): Option {
  const description = 'which kernels run; results do not depend on it';
  return new Option('--kernels <variant>', description).choices(['auto', ...KERNEL_VARIANTS]).default('auto');
}

export function tokenizerOption(): Option {
  const description = "tokenizer.json or GGUF file whose tokenizer is used (default: the model's, else beside it)";
  return new Option('--tokenizer <file>', description);
}

export function preOption(): Option {
  const description = 'pre-tokenizer in place of the one that a GGUF file names, such as llama-bpe';
  return new Option('--pre <name>', description).argParser(preTokenizerName);
}

/** @param without - what stands for the default in the help */
export function templateOption(without: string): Option {
  return new Option('--template <name>', 'chat template for the text; auto chooses the one that fits the model')
    .choices(['auto', ...TEMPLATE_IDS])
    .default(undefined, without);
}

export function systemOption(): Option {
  return new Option('--system <text>', "system message; the text is then the user's");
}

export function progressOption(): Option {
  return new Option('--progress', 'tokens per second on stderr, also where it is no terminal');
}

export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document');
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('It must be a whole number from 0 up.');
  }
  return value;
}

export function positiveNumber(text: string): number {
  const value = wholeNumber(text);
  if (value < 1) throw new InvalidArgumentError('It must be a whole number from 1 up.');
  return value;
}

/** A parser of whole numbers between these, both included. */
export function wholeNumberFrom(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value < least || value > most) throw new InvalidArgumentError(`It must be from ${least} to ${most}.`);
    return value;
  };
}

function threadCount(text: string): number | 'auto' {
  if (text === 'auto') return text;
  const value = wholeNumber(text);
  if (value < 1 || value > MOST_THREADS) throw new InvalidArgumentError(`It must be from 1 to ${MOST_THREADS}.`);
  return value;
}

/** The names are too many for the help of each command. */
function preTokenizerName(text: string): string {
  const names = preTokenizerNames();
  if (!names.includes(text)) throw new InvalidArgumentError(`Known: ${names.join(', ')}.`);
  return text;
}

export function seedNumber(text: string): number {
  const value = wholeNumber(text);
  if (value >= 2 ** 32) throw new InvalidArgumentError('It must be at most 4294967295.');
  return value;
}

export function nonNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('It must be a number from 0 up.');
  }
  return value;
}

/** Ids between commas or white space; square brackets around them (a JSON array) are fine. */
export function tokenIds(text: string): number[] {
  const list = /^\s*\[([^[\]]*)\]\s*$/.exec(text)?.[1] ?? text;
  const ids = list
    .trim()
    .split(/\s*,\s*|\s+/)
    .map((id) => (/^\d+$/.test(id) ? Number(id) : Number.NaN));
  if (!ids.every((id) => Number.isSafeInteger(id))) {
    throw new InvalidArgumentError('It must be token ids, such as 1,2,3.');
  }
  return ids;
}
