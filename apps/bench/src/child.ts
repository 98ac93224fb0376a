import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { BenchError } from './errors.ts';

/**
 * Runs `children/<name>.ts` in a process of its own, with this one's flags: what is measured there has a heap, caches and
 * compiled code of its own.
 *
 * @param task - handed to it as JSON
 * @returns what it prints, parsed
 */
export async function runInChild<Result>(name: string, task: unknown, signal: AbortSignal): Promise<Result> {
  const script = fileURLToPath(new URL(`./children/${name}.ts`, import.meta.url));
  const argv = [...process.execArgv, script, JSON.stringify(task)];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, argv, { signal, maxBuffer: 1 << 26 });
    return JSON.parse(stdout) as Result;
  } catch (error) {
    signal.throwIfAborted();
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new BenchError(`The process that runs ${name} failed: ${stderr || String(error)}`, { cause: error });
  }
}

/** In the child: what {@link runInChild} was given. */
export function childTask<Task>(): Task {
  return JSON.parse(process.argv[2]!) as Task;
}

/** In the child: the result, and the end. */
export function finishChild(result: unknown): void {
  process.stdout.write(JSON.stringify(result), () => process.exit());
}
