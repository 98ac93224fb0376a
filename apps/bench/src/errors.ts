import { CommanderError } from 'commander';

/** The command line asks for something that makes no sense. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something that is needed is not there or not as it should be: disk space, a child's answer. */
export class BenchError extends Error {
  override readonly name = 'BenchError';
}

/** The one table of exit codes. */
export const EXIT_CODES = {
  success: 0,
  failed: 1,
  /** An option or value that makes no sense, or a path that leads to no file. */
  usage: 2,
  /** Ctrl-C: 128 and the number of SIGINT, as shells do. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

export const EXIT_CODES_HELP: string = `Exit codes:
  ${EXIT_CODES.success}    success
  ${EXIT_CODES.failed}    failed
  ${EXIT_CODES.usage}    bad usage, or a path that leads to no file
  ${EXIT_CODES.interrupted}  interrupted (Ctrl-C)`;

/** Codes of the packages' own errors, and the system's for a path that leads to no file. */
const PACKAGE_CODE = /^(ENGINE|GGUF|KERNELS|TOKENIZER)_/;
const PATH_CODES: ReadonlySet<string> = new Set(['GGUF_NOT_A_FILE', 'ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES']);

export function exitCodeOf(error: unknown, signal: AbortSignal): ExitCode {
  if (signal.aborted) return EXIT_CODES.interrupted;
  const isUsage = error instanceof CommanderError || error instanceof UsageError;
  return isUsage || PATH_CODES.has(codeOf(error)) ? EXIT_CODES.usage : EXIT_CODES.failed;
}

/** What a person is told. Errors that nobody foresaw come with their stack. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const foreseen =
    error instanceof UsageError ||
    error instanceof BenchError ||
    PACKAGE_CODE.test(codeOf(error)) ||
    'syscall' in error;
  return foreseen ? error.message : `unexpected error, please report it: ${error.stack ?? error.message}`;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
