/**
 * An option that does not exist is the caller's mistake, not ignored.
 *
 * @param unknown - what is left of the options after the known ones were taken out
 */
export function refuseUnknownOptions(unknown: object): void {
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new TypeError(`Unknown option ${JSON.stringify(name)}.`);
}
