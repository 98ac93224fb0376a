/**
 * A character for the option `barrier`: one of Unicode's 32 noncharacters U+FDD0 to U+FDEF that no text here has, nor
 * its escape in JSON.
 * @throws RangeError if the texts have them all, as only a made-up text does
 */
export function barrierFor(texts: string): string {
  const lower = texts.toLowerCase();
  for (let codePoint = 0xfdd0; codePoint <= 0xfdef; codePoint++) {
    const barrier = String.fromCharCode(codePoint);
    if (!texts.includes(barrier) && !lower.includes(escapeOf(barrier))) return barrier;
  }
  throw new RangeError('The text has all 32 noncharacters U+FDD0 to U+FDEF; take one of them out.');
}

/** How JSON in ASCII writes the barrier. */
export function escapeOf(barrier: string): string {
  return String.raw`\u` + barrier.charCodeAt(0).toString(16);
}

/**
 * Text of a user, in which no control token is recognised when the whole is encoded with `parseSpecial` and `barrier`:
 * the barrier stands within every spelling of one, and beside the text where a spelling could continue outside it.
 *
 * @param controlTokens - their texts, of at least two characters
 */
export function protect(text: string, controlTokens: Iterable<string>, barrier: string): string {
  let inside = text;
  let before = '';
  let after = '';
  for (const token of controlTokens) {
    inside = breakUp(inside, token, barrier);
    for (let length = 1; length < token.length; length++) {
      if (text.startsWith(token.slice(length))) before = barrier;
      if (text.endsWith(token.slice(0, length))) after = barrier;
    }
  }
  return before + inside + after;
}

/** The same for all texts in JSON-like data; names of properties and roles are only broken up. */
export function protectAll(value: unknown, controlTokens: readonly string[], barrier: string): unknown {
  if (typeof value === 'string') return protect(value, controlTokens, barrier);
  if (Array.isArray(value)) return value.map((element) => protectAll(element, controlTokens, barrier));
  if (typeof value !== 'object' || value === null) return value;
  const brokenUp = (text: string) => controlTokens.reduce((result, token) => breakUp(result, token, barrier), text);
  return Object.fromEntries(
    Object.entries(value).map(([key, element]: [string, unknown]) => [
      brokenUp(key),
      key === 'role' && typeof element === 'string' ? brokenUp(element) : protectAll(element, controlTokens, barrier),
    ]),
  );
}

function breakUp(text: string, token: string, barrier: string): string {
  const [first = '', ...rest] = token;
  return text.replaceAll(token, () => first + barrier + rest.join(''));
}
