import { type KernelCounter, sumOfCounters } from '@bittern/kernels';
import { interleave, Limits, median, summarize, type Turn } from '@bittern/measure';
import type { CommonOptions, MachineOptions } from './options.ts';
import { environment } from './environment.ts';
import type { Io } from './io.ts';
import {
  type BenchDocument,
  type LimitName,
  type LimitsRow,
  markdownOf,
  noiseOf,
  type ResultRow,
  textOf,
} from './report.ts';

/** Something whose speed is measured. */
export interface Subject {
  readonly name: string;
  readonly detail: string;
  readonly threads: number;
  readonly limit?: LimitName;
  readonly tokensPerCall?: number;
  readonly operationsPerCall?: number;
  /** A function where it is known after the measurement only. */
  readonly bytesPerCall?: number | (() => number);
  /** Milliseconds of one call, or of several calls one by one, and the process's peak memory if it had one of its own. */
  sample(): Sample | Promise<Sample>;
}

export interface Sample {
  readonly durationsMs: readonly number[];
  readonly peakMemoryBytes?: number;
  /** What the kernels counted meanwhile. */
  readonly counters?: readonly KernelCounter[];
}

/** Measures the machine's limits and the subjects in turn. */
export async function measure(
  subjects: readonly Subject[],
  options: MachineOptions,
  io: Io,
): Promise<Pick<BenchDocument, 'limits' | 'results'>> {
  const allLimits: Limits[] = [];
  try {
    for (const threads of options.threads) {
      allLimits.push(await Limits.start({ threads, bufferBytes: options.buffer * 2 ** 20 }));
    }
    const recordings = allLimits.map((limits) => new LimitsRecording(limits));
    const samples = subjects.map((): Sample[] => []);
    const turns = subjects.map((subject, index) => ({
      async take(warmup: boolean) {
        const sample = await subject.sample();
        if (!warmup) samples[index]!.push(sample);
      },
    }));
    await takeTurns([...recordings, ...turns], options, io);
    const limits = recordings.map((recording) => recording.row());
    return { limits, results: subjects.map((subject, index) => resultRow(subject, samples[index]!, limits)) };
  } finally {
    for (const limits of allLimits) limits.dispose();
  }
}

/** {@link interleave}, with progress where a person watches. */
export async function takeTurns(turns: readonly Turn[], options: CommonOptions, io: Io): Promise<void> {
  const show = (text: string): void => {
    if (io.stderr.isTTY) io.stderr.write(`\r\u001b[K${text}`);
  };
  try {
    await interleave(turns, {
      ...options,
      signal: io.signal,
      onRound: (round, rounds) => show(`Round ${round + 1} of ${rounds}`),
    });
  } finally {
    show('');
  }
}

/** @param flags - of V8's that processes have set in which it was measured; by default this one's */
export async function print(
  document: Omit<BenchDocument, 'environment' | 'noise'>,
  { json, markdown }: CommonOptions,
  io: Io,
  flags?: readonly string[],
): Promise<void> {
  const noise = document.limits.length > 0 ? { noise: noiseOf(document.limits) } : {};
  const complete: BenchDocument = { ...document, ...noise, environment: environment(flags) };
  const text = markdown ? markdownOf(complete) : textOf(complete);
  await io.stdout.write(json ? `${JSON.stringify(complete)}\n` : text);
}

class LimitsRecording implements Turn {
  readonly #limits: Limits;
  readonly #readMs: number[] = [];
  readonly #readPagesMs: number[] = [];
  readonly #dotMs = new Map<string, number[]>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  take(warmup: boolean): void {
    const { readMs, readPagesMs, dotMs } = this.#limits.sample();
    if (warmup) return;
    this.#readMs.push(readMs);
    this.#readPagesMs.push(readPagesMs);
    for (const [form, durationMs] of Object.entries(dotMs)) {
      const billion = (durationMs * 1e9) / this.#limits.dotOperations;
      this.#dotMs.set(form, [...(this.#dotMs.get(form) ?? []), billion]);
    }
  }

  row(): LimitsRow {
    const { threads, bufferBytes } = this.#limits;
    const readMs = summarize(this.#readMs);
    const readPagesMs = summarize(this.#readPagesMs);
    const [[int8Form, fastest]] = [...this.#dotMs].toSorted(([, a], [, b]) => median(a) - median(b)) as [
      [string, number[]],
    ];
    const int8Ms = summarize(fastest);
    return {
      threads,
      bufferBytes,
      readMs,
      readGigabytesPerSecond: bufferBytes / readMs.median / 1e6,
      readPagesMs,
      readPagesGigabytesPerSecond: bufferBytes / readPagesMs.median / 1e6,
      int8Ms,
      int8Gops: 1000 / int8Ms.median,
      int8Form,
    };
  }
}

function resultRow(subject: Subject, samples: readonly Sample[], limits: readonly LimitsRow[]): ResultRow {
  const { name, detail, threads, limit, tokensPerCall, operationsPerCall } = subject;
  const durationMs = summarize(samples.flatMap(({ durationsMs }) => durationsMs));
  const perSecond = 1000 / durationMs.median;
  const bytesPerCall = typeof subject.bytesPerCall === 'function' ? subject.bytesPerCall() : subject.bytesPerCall;
  const gigabytesPerSecond = bytesPerCall && (bytesPerCall * perSecond) / 1e9;
  const gops = operationsPerCall && (operationsPerCall * perSecond) / 1e9;
  const machine = limits.find((row) => row.threads === threads);
  const fractionOfLimit =
    machine &&
    limit &&
    (limit === 'read' ? gigabytesPerSecond! / machine.readGigabytesPerSecond : gops! / machine.int8Gops);
  const counted = samples.flatMap(({ counters }) => counters ?? []);
  const peaks = samples.flatMap(({ peakMemoryBytes }) => peakMemoryBytes ?? []);
  return {
    name,
    detail,
    threads,
    durationMs,
    ...given({
      bytesPerCall,
      gigabytesPerSecond,
      operationsPerCall,
      gops,
      tokensPerCall,
      tokensPerSecond: tokensPerCall && tokensPerCall * perSecond,
      limit,
      fractionOfLimit,
      counters: counted.length > 0 ? sumOfCounters(counted) : undefined,
      peakMemoryBytes: peaks.length > 0 ? summarize(peaks) : undefined,
    }),
  };
}

/** Only the properties that have a value. */
function given<Properties extends object>(
  properties: Properties,
): {
  [Key in keyof Properties]?: Exclude<Properties[Key], undefined>;
} {
  const entries = Object.entries(properties).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof Properties]?: Exclude<Properties[Key], undefined> };
}
