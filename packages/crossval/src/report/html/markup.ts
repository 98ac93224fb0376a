/** Markup that is already escaped. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = Markup | string | number | null | readonly Part[];

/** A template of markup: what is put in is escaped, unless it is markup itself. Lists are joined, null is nothing. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.map((text, index) => text + (index < parts.length ? write(parts[index]!) : '')).join(''));
}

function write(part: Part): string {
  if (part === null) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'object') return part.map(write).join('');
  const escapes: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return String(part)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, (character) => (character === '\n' ? character : '\uFFFD'))
    .replaceAll(/[&<>"']/g, (character) => escapes[character]!);
}

/** Text from elsewhere, with what would not be seen made visible. */
export function visible(text: string): string {
  const shown: Readonly<Record<string, string>> = { ' ': '␣', '\n': '⏎', '\t': '⇥', '\r': '␍' };
  return text
    .toWellFormed()
    .replaceAll(
      /[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}]/gu,
      (character) => shown[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`,
    );
}

/** A number as a person reads it: four digits, small and large ones with an exponent. */
export function figure(value: number | null): string {
  if (value === null) return 'unknown';
  if (value === 0) return '0';
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}
