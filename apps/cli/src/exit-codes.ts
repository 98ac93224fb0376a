import { CommanderError } from 'commander';
import { isPathError, NotComparedError, UsageError } from './errors.ts';
import type { Io } from './io.ts';

/** The one table of exit codes. */
export const EXIT_CODES = {
  /** It worked; for `crossval`: every rung passed. */
  success: 0,
  /** A model or file that is damaged or not supported, a prompt that does not fit, a divergence. */
  failed: 1,
  /** An option or value that makes no sense, or a path that leads to no file. */
  usage: 2,
  /** `crossval`, `trace-diff` or `tokenize --compare` could not compare: something is missing, empty or unreadable. */
  notCompared: 3,
  /** Ctrl-C: 128 and the number of SIGINT, as shells do. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

export const EXIT_CODES_HELP: string = `Exit codes:
  ${EXIT_CODES.success}    success
  ${EXIT_CODES.failed}    failed or diverged
  ${EXIT_CODES.usage}    bad usage, or a path that leads to no file
  ${EXIT_CODES.notCompared}    could not compare: missing, empty or unreadable
  ${EXIT_CODES.interrupted}  interrupted (Ctrl-C)`;

/** The exit code of a command that ended with `error`. */
export function exitCodeOf(error: unknown, signal: Io['signal']): ExitCode {
  if (signal.aborted) return EXIT_CODES.interrupted;
  if (error instanceof NotComparedError) return EXIT_CODES.notCompared;
  // RangeError: a value from the command line that a package refuses, such as an id outside the vocabulary.
  const isUsage = [CommanderError, UsageError, RangeError].some((type) => error instanceof type);
  if (isUsage || isPathError(error)) return EXIT_CODES.usage;
  return EXIT_CODES.failed;
}
