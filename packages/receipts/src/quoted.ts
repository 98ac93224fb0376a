const MOST_QUOTED = 200;

/** Text of a receipt in a sentence for people: however long it is, its beginning is enough. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MOST_QUOTED ? `${text.slice(0, MOST_QUOTED)}…` : text);
}
