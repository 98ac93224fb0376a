/** A comparison that did not take place: no report, and no pass. */
export interface NotCompared {
  /** What was to be compared. */
  readonly name: string;
  /** Why it was not. */
  readonly message: string;
}
