import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BridgeError, type BridgeErrorCode } from './errors.ts';
import {
  AnswerReader,
  badMessage,
  type ItemHeader,
  type ReceivedItem,
  type RequestBody,
  type RequestKind,
  type Results,
} from './protocol.ts';

/** Longer than any single answer should take, a long prompt on one thread included. */
const DEFAULT_TIMEOUT_MS = 600_000;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const KEPT_STDERR_LENGTH = 8192;
const SHOWN_LENGTH = 500;
/** After its end, a process that it started may still hold its stderr open. */
const CLOSE_GRACE_MS = 500;
/** ggml's: `file:line: GGML_ASSERT(…) failed`; of glibc and of sanitizers too. */
const TELLS_THE_END = /GGML_ASSERT|assert|abort|terminate|error|fault/i;

export interface ProcessOptions {
  /** What the child runs, for messages: `llama.cpp (npm …)`. */
  readonly name: string;
  /** Of one request. */
  readonly timeoutMs?: number;
  /** The child's program. Default: the bridge's own. */
  readonly program?: URL;
  /** Added to the child's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RequestOptions {
  /** Whether such an array may be part of the answer. Default: none may. */
  readonly accepts?: (header: ItemHeader, length: number) => boolean;
  readonly onItem?: (item: ReceivedItem) => void;
  readonly signal?: AbortSignal | undefined;
}

interface Pending {
  readonly take: (message: unknown) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * One child process and its requests, one after the other. However the child ends, the request that waits for it fails,
 * with the reason; then it is gone, and every later request fails too.
 */
export class ReferenceProcess {
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #stderr = '';
  #pending: Pending | undefined;
  #doing = 'starting';
  #nextId = 1;
  #queue: Promise<unknown> = Promise.resolve();
  /** Why there will be no more answers. */
  #end: { readonly reason: unknown } | undefined;

  constructor({ name, timeoutMs = DEFAULT_TIMEOUT_MS, program = defaultProgram(), env = {} }: ProcessOptions) {
    if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
      throw new RangeError(`timeoutMs is ${timeoutMs}; it must be from 1 to ${MAX_TIMEOUT_MS}.`);
    }
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#child = fork(fileURLToPath(program), [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // None of the parent's: an inspector's port, a loader.
      execArgv: [],
      // A backtrace would start a debugger on the dying child, and wait for it.
      env: { ...process.env, GGML_NO_BACKTRACE: '1', ...env },
    });
    this.#child.stderr!.setEncoding('utf8');
    this.#child.stderr!.on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_STDERR_LENGTH);
    });
    this.#child.on('message', (message) => this.#take(message));
    this.#child.on('error', (cause) => {
      const what = this.#child.pid === undefined ? 'could not be started' : `failed (${this.#doing})`;
      this.#finish(new BridgeError('BRIDGE_NOT_STARTED', `${name} ${what}: ${cause.message}`, { cause }));
    });
    this.#child.on('disconnect', () => this.#noticeDisconnect());
    this.#ended = new Promise((resolve) => this.#noticeEnd(resolve));
    this.#letParentEnd();
  }

  /** The child's, while it lives. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * @throws BridgeError what the child reports, or BRIDGE_ABORTED, BRIDGE_EXITED, BRIDGE_TIMED_OUT, BRIDGE_BAD_MESSAGE,
   *   BRIDGE_NOT_STARTED, BRIDGE_DISPOSED. After any of these but the child's own report the child is gone.
   *   Rejects with `signal.reason`, and ends the child, which cannot be interrupted otherwise.
   */
  request<Kind extends RequestKind>(
    body: Extract<RequestBody, { readonly kind: Kind }>,
    options: RequestOptions = {},
  ): Promise<Results[Kind]> {
    const answer = this.#queue.then(() => this.#exchange<Kind>(body, options));
    this.#queue = answer.catch(() => {});
    return answer;
  }

  /** Ends the child and waits until it is gone. */
  async dispose(): Promise<void> {
    this.#finish(new BridgeError('BRIDGE_DISPOSED', `${this.#name} was disposed.`));
    // Only while there is something to wait for: a ref on an ended child is none.
    this.#keepParent();
    await this.#ended;
  }

  #exchange<Kind extends RequestKind>(
    body: Extract<RequestBody, { readonly kind: Kind }>,
    { accepts = () => false, onItem = () => {}, signal }: RequestOptions,
  ): Promise<Results[Kind]> {
    signal?.throwIfAborted();
    if (this.#end !== undefined) throw this.#end.reason;
    const id = this.#nextId++;
    const kind = body.kind as Kind;
    const reader = new AnswerReader<Kind>(kind, id, accepts, onItem);
    this.#doing = kind;
    return new Promise<Results[Kind]>((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#pending = undefined;
        this.#letParentEnd();
      };
      const fail = (error: unknown): void => {
        settle();
        reject(error);
      };
      const onAbort = (): void => {
        this.#pending?.fail(signal!.reason);
        this.#finish(new BridgeError('BRIDGE_DISPOSED', `${this.#name} was ended by an abort. Open it again.`));
      };
      const timer = setTimeout(() => {
        const what = `${this.#name} did not answer within ${this.#timeoutMs} ms (${kind}) and was killed.`;
        this.#finish(new BridgeError('BRIDGE_TIMED_OUT', what));
      }, this.#timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending = {
        fail,
        take: (message) => {
          let result: Results[Kind] | undefined;
          try {
            result = reader.take(message);
          } catch (error) {
            // The child's own report leaves it usable. Anything else, an error of onItem too, leaves half an answer.
            if (isReport(message) && !isBadMessage(error)) fail(error);
            else this.#finish(error);
            return;
          }
          if (result === undefined) return;
          settle();
          resolve(result);
        },
      };
      this.#keepParent();
      this.#child.send({ ...body, id }, (error) => {
        // If the child is gone, its end says more; and the end always comes.
        if (error !== null && this.#child.connected) this.#finish(error);
      });
    });
  }

  #take(message: unknown): void {
    if (this.#pending !== undefined) this.#pending.take(message);
    else this.#finish(badMessage('the child speaks unasked'));
  }

  /** The channel closes when the child ends; if the child lives on, it will not answer any more. */
  #noticeDisconnect(): void {
    setTimeout(() => {
      this.#finish(badMessage(`the child closed the channel (${this.#doing})`));
    }, CLOSE_GRACE_MS).unref();
  }

  #noticeEnd(resolve: () => void): void {
    this.#child.once('error', () => {
      if (this.#child.pid === undefined) resolve();
    });
    this.#child.once('exit', (code, signal) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#finish(this.#describeEnd(code, signal));
        resolve();
      };
      // The pipe of stderr is read to its end, which comes at once unless somebody else holds it too.
      const timer = setTimeout(finish, CLOSE_GRACE_MS);
      this.#child.once('close', finish);
    });
  }

  #describeEnd(code: number | null, signal: NodeJS.Signals | null): BridgeError {
    const lines = this.#stderr.split('\n').filter((line) => line.trim() !== '');
    const telling = lines.findLast((line) => TELLS_THE_END.test(line)) ?? lines.at(-1);
    const said = telling === undefined ? 'It said nothing.' : `It said: ${telling.trim().slice(-SHOWN_LENGTH)}`;
    const [errorCode, how]: [BridgeErrorCode, string] =
      signal === null ? ['BRIDGE_EXITED', `exited with code ${code}`] : ['BRIDGE_ABORTED', `was ended by ${signal}`];
    return new BridgeError(errorCode, `${this.#name} ${how} (${this.#doing}). ${said}`, { cause: this.#stderr });
  }

  /** The first reason counts; a child that still runs is killed. */
  #finish(reason: unknown): void {
    this.#end ??= { reason };
    this.#pending?.fail(this.#end.reason);
    this.#child.kill('SIGKILL');
  }

  /** An idle child does not keep the parent alive, one that is asked does. */
  #letParentEnd(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    (this.#child.stderr as unknown as { unref?(): void }).unref?.();
  }

  #keepParent(): void {
    this.#child.ref();
    this.#child.channel?.ref();
  }
}

function isReport(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'failed';
}

function isBadMessage(error: unknown): boolean {
  return !(error instanceof BridgeError) || error.code === 'BRIDGE_BAD_MESSAGE';
}

/** Beside this file: `worker.ts` in the sources, `worker.js` in the built package. */
function defaultProgram(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
}
