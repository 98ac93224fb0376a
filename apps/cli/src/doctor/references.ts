import type { Io } from '../io.ts';
import type { ProgressLine } from '../output.ts';
import { findingsOf, REFERENCE_TITLES } from '../preflight-report.ts';
import { REFERENCE_NAMES, reportOn } from '../reference-check.ts';
import type { Check } from './check.ts';

/** What our engine can be compared with, as `preflight` finds it. */
export async function checkReferences(progress: ProgressLine, io: Io): Promise<Check[]> {
  const checks: Check[] = [];
  for (const reference of REFERENCE_NAMES) {
    const report = await reportOn(reference, false, progress, io);
    const { status, next } = report;
    checks.push({
      name: REFERENCE_TITLES[reference],
      // What comes with bittern must be whole; what is set must work; what is not set need not be there.
      status: status === 'ok' ? 'ok' : status === 'skipped' ? 'gap' : 'failed',
      found: findingsOf(report, false),
      ...(next !== undefined && { next }),
    });
  }
  return checks;
}
