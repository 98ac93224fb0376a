import { spawn } from 'node:child_process';
import { BridgeError } from '../errors.ts';
import type { Environment } from '../paths.ts';

export interface CommandOptions {
  /** Working folder. */
  readonly cwd: string;
  /** All of its variables. */
  readonly env: Environment;
  readonly signal?: AbortSignal | undefined;
  /** What the command says, on either output, as it comes. */
  readonly onOutput?: ((text: string) => void) | undefined;
}

/** How long a command that was told to end may take before it is killed. */
const GRACE_MS = 2000;
/** Of what it said, so much is kept, and so much of that told. */
const KEPT_CHARACTERS = 2000;
const KEPT_LINES = 4;

/**
 * Runs a command to its end; standard input is empty. On `signal` it ends with all that it started, and the promise rejects with
 * `signal.reason` after that.
 *
 * @returns the last of what it wrote to standard output
 * @throws BridgeError BRIDGE_FETCH_FAILED where it cannot be started or does not end with 0
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  { cwd, env, signal, onOutput }: CommandOptions,
): Promise<string> {
  signal?.throwIfAborted();
  // A process group of its own, so that all of it can be ended: npm and make start others.
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let [stdout, said] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout = (stdout + text).slice(-KEPT_CHARACTERS);
    said = (said + text).slice(-KEPT_CHARACTERS);
    onOutput?.(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-KEPT_CHARACTERS);
    onOutput?.(text);
  });
  let killTimer: NodeJS.Timeout | undefined;
  const end = (): void => {
    killGroup(child.pid, 'SIGTERM');
    killTimer = setTimeout(() => killGroup(child.pid, 'SIGKILL'), GRACE_MS);
  };
  signal?.addEventListener('abort', end, { once: true });
  try {
    const [code, killedBy] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (...ended) => resolve(ended));
    });
    signal?.throwIfAborted();
    if (code === 0) return stdout;
    const how = killedBy === null ? `with ${code}` : `by ${killedBy}`;
    const lastWords = said
      .trim()
      .split(/\s*[\r\n]\s*/)
      .slice(-KEPT_LINES)
      .join(' | ');
    throw failed(`${[file, ...args].join(' ')} ended ${how}${lastWords === '' ? '' : `: ${lastWords}`}`);
  } catch (error) {
    if (error instanceof Error && 'syscall' in error)
      throw failed(`${file} cannot be started: ${error.message}`, error);
    throw error;
  } finally {
    clearTimeout(killTimer);
    signal?.removeEventListener('abort', end);
    // Whatever it left behind in its group.
    if (signal?.aborted) killGroup(child.pid, 'SIGKILL');
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function failed(what: string, cause?: Error): BridgeError {
  return new BridgeError('BRIDGE_FETCH_FAILED', what, { cause });
}
