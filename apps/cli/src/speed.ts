import { performance } from 'node:perf_hooks';
import type { Io } from './io.ts';
import { ProgressLine } from './output.ts';

/** Tokens and how long they took. */
export interface Timing {
  readonly tokens: number;
  readonly durationMs: number;
  readonly tokensPerSecond: number | null;
}

export function timing(tokens: number, durationMs: number): Timing {
  return { tokens, durationMs, tokensPerSecond: tokens === 0 ? null : (1000 * tokens) / durationMs };
}

export function timingText({ tokens, durationMs, tokensPerSecond }: Timing): string {
  const speed = tokensPerSecond === null ? '' : `, ${tokensPerSecond.toFixed(1)} tokens/s`;
  return `${tokens} tokens in ${(durationMs / 1000).toFixed(2)} s${speed}`;
}

const REPORT_MS = 500;

/**
 * Tokens per second while they come, on stderr: by `--progress` as lines, else on one line that is written over where a
 * person watches stderr and the text goes elsewhere. On one terminal with the text it would be in its way.
 */
export class LiveSpeed {
  readonly #io: Io;
  readonly #line: ProgressLine | undefined;
  readonly #asLines: boolean;
  #begin = performance.now();
  #reported = -Infinity;
  #tokens = 0;

  constructor(io: Io, options: { readonly asLines: boolean; readonly printsText: boolean }) {
    this.#io = io;
    this.#asLines = options.asLines;
    const isFree = !(options.printsText && io.stdout.isTTY);
    this.#line = !options.asLines && isFree ? new ProgressLine(io) : undefined;
  }

  /** The first token is there: time counts from now. */
  start(): void {
    this.#begin = performance.now();
  }

  count(): void {
    this.#tokens += 1;
    const now = performance.now();
    if (now - this.#reported < REPORT_MS) return;
    this.#reported = now;
    const text = timingText(timing(this.#tokens, now - this.#begin));
    if (this.#asLines) this.#io.stderr.write(`${text}\n`);
    else this.#line?.show(text);
  }

  [Symbol.dispose](): void {
    this.#line?.clear();
  }
}
