import type { Token } from './tokens.ts';

/** What the expression's names and `sizeof` mean. Both throw for what they do not know. */
export interface Meanings {
  valueOf(name: string): bigint;
  sizeOf(typeTokens: readonly Token[]): bigint;
}

/** Operators of two operands, weakest first. */
const LEVELS: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];

const DEEPEST = 100;
/** No constant of a header is larger; shifts of shifts would be. */
const LARGEST = 1n << 64n;

/**
 * The value of an integer constant expression: that of `#if`, of an array's length, of an enumerator.
 *
 * @throws Error that says why there is none; the caller knows where
 */
export function evaluate(tokens: readonly Token[], meanings: Meanings): bigint {
  let at = 0;
  const result = ternary(0);
  if (at < tokens.length) throw new Error(`${tokens[at]!.text} is not expected in an expression`);
  return result;

  function ternary(depth: number): bigint {
    if (depth > DEEPEST) throw new Error('an expression is nested too deeply');
    const condition = binary(0, depth);
    if (!take('?')) return condition;
    const whenTrue = ternary(depth + 1);
    expect(':');
    const whenFalse = ternary(depth + 1);
    return condition === 0n ? whenFalse : whenTrue;
  }

  function binary(level: number, depth: number): bigint {
    const operators = LEVELS[level];
    if (operators === undefined) return unary(depth);
    let value = binary(level + 1, depth);
    for (;;) {
      const operator = tokens[at]?.text;
      if (operator === undefined || !operators.includes(operator)) return value;
      at++;
      value = checked(apply(operator, value, binary(level + 1, depth)));
    }
  }

  function unary(depth: number): bigint {
    if (depth > DEEPEST) throw new Error('an expression is nested too deeply');
    if (take('-')) return -unary(depth + 1);
    if (take('+')) return unary(depth + 1);
    if (take('!')) return unary(depth + 1) === 0n ? 1n : 0n;
    if (take('~')) return ~unary(depth + 1);
    const token = tokens[at++];
    if (token?.text === '(') {
      const value = ternary(depth + 1);
      expect(')');
      return value;
    }
    if (token?.kind === 'number') return numberOf(token.text);
    if (token?.text === 'sizeof') return sizeOf();
    if (token?.kind === 'name') return meanings.valueOf(token.text);
    throw new Error(`${token?.text ?? 'the end'} is not expected in an expression`);
  }

  function sizeOf(): bigint {
    expect('(');
    const end = tokens.findIndex(({ text }, index) => index >= at && text === ')');
    if (end === -1) throw new Error('sizeof does not end');
    const size = meanings.sizeOf(tokens.slice(at, end));
    at = end + 1;
    return size;
  }

  function take(text: string): boolean {
    if (tokens[at]?.text !== text) return false;
    at++;
    return true;
  }

  function expect(text: string): void {
    if (!take(text)) throw new Error(`${text} is missing in an expression`);
  }
}

function apply(operator: string, a: bigint, b: bigint): bigint {
  switch (operator) {
    case '||':
      return truth(a !== 0n || b !== 0n);
    case '&&':
      return truth(a !== 0n && b !== 0n);
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    case '&':
      return a & b;
    case '==':
      return truth(a === b);
    case '!=':
      return truth(a !== b);
    case '<':
      return truth(a < b);
    case '>':
      return truth(a > b);
    case '<=':
      return truth(a <= b);
    case '>=':
      return truth(a >= b);
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '<<':
    case '>>':
      if (b < 0n || b > 63n) throw new Error(`a shift by ${b}`);
      return operator === '<<' ? a << b : a >> b;
    default:
      if (b === 0n) throw new Error('a division by 0');
      return operator === '/' ? a / b : a % b;
  }
}

function truth(value: boolean): bigint {
  return value ? 1n : 0n;
}

function checked(value: bigint): bigint {
  if (value >= LARGEST || value <= -LARGEST) throw new Error('a number of more than 64 bits');
  return value;
}

function numberOf(text: string): bigint {
  const digits = /^(0[xX][\da-fA-F]+|\d+)[uU]?[lL]{0,2}[uU]?$/.exec(text)?.[1];
  if (digits === undefined) throw new Error(`${text} is no whole number`);
  if (/^0\d/.test(digits)) {
    if (/[89]/.test(digits)) throw new Error(`${text} is no whole number`);
    return checked(BigInt(`0o${digits.slice(1)}`));
  }
  if (digits.length > 20) throw new Error('a number of more than 64 bits');
  return checked(BigInt(digits));
}
