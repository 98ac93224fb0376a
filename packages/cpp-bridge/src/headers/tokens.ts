import { BridgeError } from '../errors.ts';

/** A token of C. `skipped` stands for what a condition left out that the build may decide otherwise. */
export interface Token {
  readonly kind: 'name' | 'number' | 'text' | 'punctuation' | 'skipped';
  readonly text: string;
  readonly line: number;
  /** There is no space before it. `#define f(x)` has a parameter, `#define f (x)` has not. */
  readonly glued: boolean;
  /** The macro on which it depends that this token is here at all, where the build may define that macro or not. */
  readonly dependsOn?: string;
}

const TOKEN =
  /(?<name>[A-Za-z_]\w*)|(?<number>\.?\d(?:[eEpP][+-]|[\w.])*)|(?<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?<punctuation>\.\.\.|##|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%<>=!&|^~?:;,.#(){}[\]])/y;

/** The header is no C, or more of it than the reader knows. */
export function badHeader(file: string, line: number, what: string): BridgeError {
  return new BridgeError('BRIDGE_BAD_HEADER', `${file}, line ${line}: ${what}.`);
}

/**
 * The logical lines of a C header, without comments. A line that ends with a backslash goes on in the next one.
 *
 * @throws BridgeError BRIDGE_BAD_HEADER
 */
export function tokenLines(text: string, file: string): Token[][] {
  const lines: Token[][] = [];
  let tokens: Token[] = [];
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const character = text[at]!;
    if (character === '\n') {
      if (tokens.length > 0) lines.push(tokens);
      tokens = [];
      line++;
      at++;
    } else if (character === '\\' && /^\r?\n/.test(text.slice(at + 1, at + 3))) {
      line++;
      at = text.indexOf('\n', at) + 1;
    } else if (/\s/.test(character)) {
      at++;
    } else if (text.startsWith('//', at)) {
      // Of this too, a backslash makes the next line a part.
      do {
        const end = text.indexOf('\n', at + 1);
        at = end === -1 ? text.length : end;
        if (continues(text, at)) line++;
      } while (continues(text, at));
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2);
      if (end === -1) throw badHeader(file, line, 'a comment does not end');
      line += text.slice(at, end).split('\n').length - 1;
      at = end + 2;
    } else {
      TOKEN.lastIndex = at;
      const match = TOKEN.exec(text);
      if (match === null) throw badHeader(file, line, `${JSON.stringify(character)} is not expected here`);
      const { name, number, punctuation } = match.groups!;
      const kind = name ? 'name' : number ? 'number' : punctuation ? 'punctuation' : 'text';
      tokens.push({ kind, text: match[0], line, glued: at > 0 && !/\s/.test(text[at - 1]!) });
      at = TOKEN.lastIndex;
    }
  }
  if (tokens.length > 0) lines.push(tokens);
  return lines;
}

/** Whether the line that ends at `end` goes on in the next one. */
function continues(text: string, end: number): boolean {
  return end < text.length && /\\\r?$/.test(text.slice(Math.max(0, end - 2), end));
}
