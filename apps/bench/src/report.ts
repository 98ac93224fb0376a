import type { KernelCounter } from '@bittern/kernels';
import type { Summary } from '@bittern/measure';
import { markdownTable, markdownText, printable, table } from './table.ts';
import type { Environment } from './environment.ts';

/** What the machine can give, at a number of threads, measured in the same run. */
export interface LimitsRow {
  readonly threads: number;
  readonly bufferBytes: number;
  /** Reading `bufferBytes` once, in one linear stream of each thread. */
  readonly readMs: Summary;
  readonly readGigabytesPerSecond: number;
  /** Reading `bufferBytes` once, line by line of 8 pages at once. */
  readonly readPagesMs: Summary;
  readonly readPagesGigabytesPerSecond: number;
  /** A billion operations (products and sums) of int8 dot products, in their fastest form. */
  readonly int8Ms: Summary;
  readonly int8Gops: number;
  readonly int8Form: string;
}

/** What a result is compared with. */
export type LimitName = 'read' | 'int8';

/** One thing that was measured. Rates are those of the median. */
export interface ResultRow {
  readonly name: string;
  /** What of it: a shape, a text, where the data is. */
  readonly detail: string;
  readonly threads?: number;
  /** Of one call: of a kernel, a decode step, a whole prefill, a load. */
  readonly durationMs: Summary;
  readonly bytesPerCall?: number;
  readonly gigabytesPerSecond?: number;
  readonly operationsPerCall?: number;
  readonly gops?: number;
  readonly tokensPerCall?: number;
  readonly tokensPerSecond?: number;
  readonly limit?: LimitName;
  readonly fractionOfLimit?: number;
  /** What the kernels counted during all samples together (docs/kernel-counters.md). */
  readonly counters?: readonly KernelCounter[];
  readonly peakMemoryBytes?: Summary;
  /** Only of this: what the process had before is taken off. */
  readonly addedMemoryBytes?: Summary;
}

/** How much longer one thing takes than another, in rounds of both. */
export interface RatioRow {
  readonly name: string;
  /** The median, and between which numbers it is with 95 %; null where the rounds are too few to tell. */
  readonly ratio: number;
  readonly low: number | null;
  readonly high: number | null;
}

export function noiseOf(limits: readonly LimitsRow[]): number {
  const spread = ({ p10, p90, median }: Summary): number => (p90 - p10) / median;
  return Math.max(...limits.flatMap(({ readMs, readPagesMs, int8Ms }) => [readMs, readPagesMs, int8Ms].map(spread)));
}

/** What `--json` prints. */
export interface BenchDocument {
  readonly command: string;
  readonly environment: Environment;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly limits: readonly LimitsRow[];
  /** How much the limits vary: the widest p10 to p90, as a part of its median. Undefined where none was measured. */
  readonly noise?: number;
  readonly results: readonly ResultRow[];
  readonly ratios?: readonly RatioRow[];
}

export function textOf(document: BenchDocument): string {
  const { command, limits, results, ratios = [] } = document;
  return [
    `${command}: ${printable(settingsOf(document))}\n${printable(machineOf(document))}\n`,
    ...(limits.length > 0 ? [`${table(limitsRows(limits))}${noiseLine(limits)}\n`] : []),
    ...(results.length > 0 ? [table(resultsRows(results))] : []),
    ...(ratios.length > 0 ? [table(ratioRows(ratios))] : []),
  ].join('\n');
}

/** The same as a section of a page. */
export function markdownOf(document: BenchDocument): string {
  const { command, environment, limits, results, ratios = [] } = document;
  return [
    `## ${markdownText(command)}\n`,
    `${markdownText(`${environment.date.slice(0, 10)}, ${machineOf(document)}`)}\n\n${markdownText(settingsOf(document))}\n`,
    ...(results.length > 0 ? [markdownTable(resultsRows(results))] : []),
    ...(ratios.length > 0 ? [markdownTable(ratioRows(ratios))] : []),
    ...(limits.length > 0 ? [`${markdownTable(limitsRows(limits))}\n${noiseLine(limits)}\n`] : []),
  ].join('\n');
}

function settingsOf({ settings }: BenchDocument): string {
  return Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key} ${String(value)}`)
    .join(', ');
}

function machineOf({ environment: e }: BenchDocument): string {
  return `${e.cpu}, ${e.cores} cores, load average ${e.loadAverage.toFixed(1)}; Node ${e.node}, V8 ${e.v8} ${e.flags.join(' ')}`;
}

function noiseLine(limits: readonly LimitsRow[]): string {
  return `They vary by ${(100 * noiseOf(limits)).toFixed(0)} %: no difference below that counts.`;
}

function limitsRows(limits: readonly LimitsRow[]): string[][] {
  return [
    ['limit of the machine', 'threads', 'rate', 'p10 to p90'],
    ...limits.flatMap(({ threads, bufferBytes, readMs, readPagesMs, int8Ms, int8Form, ...rates }) => [
      [
        'memory read',
        String(threads),
        `${figure(rates.readGigabytesPerSecond)} GB/s`,
        rateSpread(bufferBytes / 1e6, readMs),
      ],
      [
        'memory read, 8 pages at once',
        String(threads),
        `${figure(rates.readPagesGigabytesPerSecond)} GB/s`,
        rateSpread(bufferBytes / 1e6, readPagesMs),
      ],
      [`int8 dot (${int8Form})`, String(threads), `${figure(rates.int8Gops)} GOPS`, rateSpread(1000, int8Ms)],
    ]),
  ];
}

type Column = readonly [title: string, cell: (row: ResultRow) => string | undefined];

const COLUMNS: readonly Column[] = [
  ['', (row) => row.name],
  ['', (row) => row.detail],
  ['threads', (row) => row.threads?.toString()],
  ['ms', (row) => figure(row.durationMs.median)],
  ['p10 to p90', (row) => `${figure(row.durationMs.p10)} to ${figure(row.durationMs.p90)}`],
  ['bytes', (row) => row.bytesPerCall?.toFixed(0)],
  ['GB/s', (row) => figure(row.gigabytesPerSecond)],
  ['GOPS', (row) => figure(row.gops)],
  ['tokens/s', (row) => figure(row.tokensPerSecond)],
  ['of limit', (row) => row.limit && `${figure(row.fractionOfLimit)} ${row.limit}`],
  ['peak MB', (row) => megabytes(row.peakMemoryBytes)],
  ['added MB', (row) => megabytes(row.addedMemoryBytes)],
];

/** Columns that no row fills are left out. */
function resultsRows(results: readonly ResultRow[]): string[][] {
  const columns = COLUMNS.filter(([, cell]) => results.some((row) => cell(row)));
  return [columns.map(([title]) => title), ...results.map((row) => columns.map(([, cell]) => cell(row) ?? ''))];
}

function ratioRows(ratios: readonly RatioRow[]): string[][] {
  const known = (value: number | null): string => value?.toFixed(4) ?? 'not known';
  return [
    ['costs', 'times as long', '95 % between'],
    ...ratios.map(({ name, ratio, low, high }) => [name, known(ratio), `${known(low)} and ${known(high)}`]),
  ];
}

/** The slow end first, as that of the median's rate. */
function rateSpread(workPerMs: number, { p10, p90 }: Summary): string {
  return `${figure(workPerMs / p90)} to ${figure(workPerMs / p10)}`;
}

function megabytes(bytes: Summary | undefined): string | undefined {
  return bytes && figure(bytes.median / 1e6);
}

/** Three digits: noise is larger. */
function figure(value: number): string;
function figure(value: number | undefined): string | undefined;
function figure(value: number | undefined): string | undefined {
  if (value === undefined) return undefined;
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
