import { BridgeError } from '../errors.ts';

/** Shells that `setup-cpp-auto` writes for. */
export const SHELLS = ['sh', 'fish', 'pwsh', 'cmd'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * A statement that sets a variable of the environment to exactly `value`, whatever is in it, and does nothing else.
 *
 * @param name - of letters, digits and underscores
 * @throws BridgeError BRIDGE_UNSUPPORTED where the shell has no safe way to write the value
 */
export function exportStatement(shell: Shell, name: string, value: string): string {
  if (!/^[A-Za-z_]\w*$/.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a variable.`);
  if (value.includes('\0')) throw unsupported(shell, name, 'a NUL character');
  switch (shell) {
    case 'sh':
      return `export ${name}=${quoteForSh(value)}`;
    case 'fish':
      return `set -gx ${name} ${quoteForFish(value)}`;
    case 'pwsh':
      return `$env:${name} = ${quoteForPwsh(value)}`;
    case 'cmd':
      return `set "${name}=${quoteForCmd(name, value)}"`;
  }
}

/** Between single quotes a POSIX shell takes everything as it is but the single quote. */
function quoteForSh(value: string): string {
  return `'${value.replaceAll("'", String.raw`'\''`)}'`;
}

/** Between single quotes fish knows two escapes: of the single quote and of the backslash. */
function quoteForFish(value: string): string {
  return `'${value.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}

/**
 * Between single quotes PowerShell takes everything as it is but single quotes, which are doubled; typographic ones count too.
 * `bittern … | Invoke-Expression` gives it one line at a time, so a line break must not stand in the text.
 */
function quoteForPwsh(value: string): string {
  const parts = value.split(/([\r\n])/).map((part) => {
    if (part === '\n' || part === '\r') return `[char]${part.charCodeAt(0)}`;
    return `'${part.replaceAll(/['‘’‚‛]/g, '$&$&')}'`;
  });
  return parts.length === 1 ? parts[0]! : `(${parts.join(' + ')})`;
}

/**
 * In a batch file, between the quotes of `set "NAME=value"`, all is taken as it is but the percent sign, which is doubled. A quote
 * or a line break would end the statement; an exclamation mark is special where delayed expansion is on; and cmd reads other
 * characters than those of ASCII in a code page that nobody knows here, where one may swallow the quote behind it.
 */
function quoteForCmd(name: string, value: string): string {
  if (/[^ -~]|["!]/.test(value))
    throw unsupported('cmd', name, 'a quote, an exclamation mark, a line break or a character beyond ASCII');
  return value.replaceAll('%', '%%');
}

function unsupported(shell: Shell, name: string, what: string): BridgeError {
  return new BridgeError(
    'BRIDGE_UNSUPPORTED',
    `${name} has ${what}, which cannot be written safely for ${shell}. Use --emit ${shell === 'cmd' ? 'pwsh or ' : ''}json.`,
  );
}
