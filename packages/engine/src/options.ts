/** A misspelt option would silently be its default. */
export function refuseUnknownOptions(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new TypeError(`Unknown option "${unknown.join('", "')}". Known: ${known.join(', ')}.`);
}

/** Refuses a value outside of a closed set. */
export function refuseUnlessOneOf(name: string, value: unknown, values: readonly unknown[]): void {
  if (!values.includes(value))
    throw new RangeError(`${name} ${JSON.stringify(value)} is not one of ${values.join(', ')}.`);
}
