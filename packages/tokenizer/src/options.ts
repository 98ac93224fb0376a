/** @throws TypeError for a key that is not in `known`: a misspelt option must not go unnoticed */
export function rejectUnknownOptions(options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw new TypeError(`Unknown option "${key}". Known: ${known.join(', ')}.`);
  }
}
