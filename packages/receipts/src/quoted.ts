const MOST_QUOTED = 200;

/** Text of a receipt in a sentence for people: however long it is, its beginning is enough. */
export function cut(text: string): string {
  return text.length > MOST_QUOTED ? `${text.slice(0, MOST_QUOTED).toWellFormed()}…` : text;
}

/** The same as JSON. */
export function quoted(text: string): string {
  return JSON.stringify(cut(text));
}
