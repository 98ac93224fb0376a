import { printable } from './output.ts';

/** The command line asks for something that makes no sense. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A file or folder that cannot be used; the cause says why, the message also which. */
export class UnusableFileError extends Error {
  override readonly name = 'UnusableFileError';

  constructor(path: string, cause: Error) {
    super(`${path}: ${cause.message}`, { cause });
  }
}

/** A comparison did not take place: something for it is missing, empty or unreadable. */
export class NotComparedError extends Error {
  override readonly name = 'NotComparedError';
}

/** A C++ reference that was asked for is not there, or cannot be used. */
export class UnusableReferenceError extends Error {
  override readonly name = 'UnusableReferenceError';
}

/** Codes of the packages' own errors: a file, a model or a reference that cannot be used. */
const PACKAGE_CODE = /^(BRIDGE|CROSSVAL|ENGINE|GGUF|KERNELS|MEASURE|RECEIPTS|TOKENIZER)_/;

/** Why the system cannot use a path, in words. */
const PATH_PROBLEMS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is not a folder',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
};

/** The `code` of a typed error or of the system's. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Whether the error says that what a package was given, or a file, cannot be used. */
export function isUnusable(error: unknown): error is Error {
  return error instanceof UnusableFileError || PACKAGE_CODE.test(codeOf(error) ?? '') || isSystemError(error);
}

/** Whether a path, as it was given, leads to no usable file. */
export function isPathError(error: unknown): error is Error {
  const code = codeOf(error);
  return code === 'GGUF_NOT_A_FILE' || (isSystemError(error) && code !== undefined && code in PATH_PROBLEMS);
}

/** What a person is told, on one line where it is of a foreseen kind: it may quote a file. Errors that nobody foresaw come with their stack. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const unusable: boolean = isUnusable(error);
  const problem = isSystemError(error) ? PATH_PROBLEMS[codeOf(error)!] : undefined;
  if (problem !== undefined && 'path' in error) return `${String(error.path)}: ${problem}. Check the path.`;
  const foreseen = [UsageError, NotComparedError, UnusableReferenceError, RangeError].some(
    (type) => error instanceof type,
  );
  return foreseen || unusable
    ? printable(error.message)
    : `unexpected error, please report it: ${error.stack ?? error.message}`;
}

/** Adds to an error that something in a file cannot be used which file it is. */
export function inFile(path: string, error: unknown): unknown {
  return isUnusable(error) && !isSystemError(error) ? new UnusableFileError(path, error) : error;
}

function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}
