import { median } from '@bittern/measure';
import type { MachineIdentity, Measurements } from './measurements.ts';
import { ratioOfMedians } from './median-interval.ts';

/**
 * - `slower`, `faster`: with 95 %
 * - `no difference`: none that the samples show
 * - `too few samples`, `missing`: not compared, which is a failure; `new`: there is nothing to compare with
 */
type CaseStatus = 'slower' | 'faster' | 'no difference' | 'too few samples' | 'missing' | 'new';

export interface ComparedCase {
  readonly name: string;
  readonly status: CaseStatus;
  /** Medians in milliseconds; null where there are no samples. */
  readonly baseMs: number | null;
  readonly currentMs: number | null;
  /** Of the medians, current by base, and between which numbers it is with 95 %; null where it is not known. */
  readonly ratio: number | null;
  readonly low: number | null;
  readonly high: number | null;
  /** Whether it is surely slower by more than is allowed, or was not compared. */
  readonly failed: boolean;
}

export interface Comparison {
  readonly verdict: 'pass' | 'fail';
  /** Why it fails as a whole; the cases have their own reasons. */
  readonly message: string | null;
  readonly base: string;
  readonly current: string;
  readonly machines: { readonly base: MachineIdentity; readonly current: MachineIdentity };
  /** How much slower a case may be, in per cent; null where being slower is no failure. */
  readonly allowedPercent: number | null;
  readonly cases: readonly ComparedCase[];
}

/** @param allowedPercent - a case that is surely slower by more fails; null: none does */
export function compare(base: Measurements, current: Measurements, allowedPercent: number | null): Comparison {
  const machines = { base: base.machine, current: current.machine };
  const document = { base: base.file, current: current.file, machines, allowedPercent };
  if (base.machine.fingerprint !== current.machine.fingerprint) {
    const message = `nothing is comparable: they were measured on different machines (${nameOf(base.machine)}; ${nameOf(current.machine)})`;
    return { ...document, verdict: 'fail', message, cases: [] };
  }
  const names = new Set([...base.cases.keys(), ...current.cases.keys()]);
  const cases = [...names].map((name) =>
    compareCase(name, base.cases.get(name) ?? [], current.cases.get(name) ?? [], allowedPercent),
  );
  if (!cases.some(({ ratio }) => ratio !== null)) {
    const message = 'nothing is comparable: no case is in both, with enough samples';
    return { ...document, verdict: 'fail', message, cases };
  }
  return { ...document, verdict: cases.some(({ failed }) => failed) ? 'fail' : 'pass', message: null, cases };
}

function compareCase(
  name: string,
  base: readonly number[],
  current: readonly number[],
  allowedPercent: number | null,
): ComparedCase {
  const baseMs = base.length === 0 ? null : median(base);
  const currentMs = current.length === 0 ? null : median(current);
  const compared = ratioOfMedians(base, current);
  if (compared === undefined) {
    const status = currentMs === null ? 'missing' : baseMs === null ? 'new' : 'too few samples';
    return { name, status, baseMs, currentMs, ratio: null, low: null, high: null, failed: status !== 'new' };
  }
  const { ratio, low, high } = compared;
  const status = low > 1 ? 'slower' : high < 1 ? 'faster' : 'no difference';
  const failed = allowedPercent !== null && !(low <= 1 + allowedPercent / 100);
  return { name, status, baseMs, currentMs, ratio, low, high, failed };
}

function nameOf({ cpu, cores, platform }: MachineIdentity): string {
  return `${cpu}, ${cores} cores, ${platform}`;
}
