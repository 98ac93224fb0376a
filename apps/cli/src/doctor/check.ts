/**
 * - `ok`: it was tried, and works
 * - `gap`: bittern works without it, but slower, or compares with less
 * - `failed`: bittern does not work as it should
 */
type CheckStatus = 'ok' | 'gap' | 'failed';

/** What was found out about one part of the machine or the installation. */
export interface Check {
  readonly name: string;
  readonly status: CheckStatus;
  /** For people: one fact a line. */
  readonly found: readonly string[];
  /** What to do about a gap or failure; absent where nothing can be done, or need be. */
  readonly next?: string;
}
