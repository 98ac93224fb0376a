/** What came of a comparison that has no ladder to report. */
export interface OtherOutcome {
  /**
   * `passed` and `failed` are verdicts. `not-compared` did not take place and should have: no pass. `not-installed` was
   * to take place only where it can.
   */
  readonly kind: 'passed' | 'failed' | 'not-compared' | 'not-installed';
  /** What was to be compared. */
  readonly name: string;
  /** What was found, or why nothing was. */
  readonly message: string;
}

/** A word for each kind, for people. */
export const OUTCOME_WORDS: Readonly<Record<OtherOutcome['kind'], string>> = {
  passed: 'passed',
  failed: 'failed',
  'not-compared': 'not compared',
  'not-installed': 'not installed',
};

/** Whether it keeps the whole from being a pass. */
export function isBad({ kind }: OtherOutcome): boolean {
  return !(kind === 'passed' || kind === 'not-installed');
}
