import type { AbiScalar } from '../abi-layouts.ts';
import { evaluate } from './expression.ts';
import { badHeader, type Token } from './tokens.ts';

/** A C type as x86-64 System V lays it out, or the reason why that cannot be said for certain. */
export type CType = KnownType | CStruct | { readonly unknown: string };

interface KnownType {
  readonly sizeBytes: number;
  readonly alignBytes: number;
  /** Of the type itself, or of an array's elements; a struct has none. */
  readonly scalar: AbiScalar | undefined;
  /** Elements of an array, all dimensions multiplied. */
  readonly count: number | undefined;
}

interface CField {
  readonly offsetBytes: number;
  readonly type: KnownType;
}

/** A struct whose layout is known. */
export interface CStruct extends KnownType {
  readonly fields: ReadonlyMap<string, CField>;
}

/** What a header declares. */
export interface Declarations {
  /** Structs by tag, `llama_batch` of `struct llama_batch`, and by the name of a typedef. */
  readonly structs: ReadonlyMap<string, CStruct | { readonly unknown: string }>;
  readonly functions: ReadonlySet<string>;
}

const DEEPEST = 32;
/** An array of more is no field of a struct that anybody passes. */
const LARGEST_BYTES = 1 << 20;

/** Source: System V ABI, AMD64 supplement, figure 3.1. Each is aligned to its size. */
const SCALARS: Readonly<Record<string, readonly [AbiScalar, number]>> = {
  _Bool: ['bool', 1],
  bool: ['bool', 1],
  char: ['i8', 1],
  'signed char': ['i8', 1],
  'unsigned char': ['u8', 1],
  short: ['i16', 2],
  'unsigned short': ['u16', 2],
  int: ['i32', 4],
  unsigned: ['u32', 4],
  long: ['i64', 8],
  'unsigned long': ['u64', 8],
  float: ['f32', 4],
  double: ['f64', 8],
  int8_t: ['i8', 1],
  uint8_t: ['u8', 1],
  int16_t: ['i16', 2],
  uint16_t: ['u16', 2],
  int32_t: ['i32', 4],
  uint32_t: ['u32', 4],
  int64_t: ['i64', 8],
  uint64_t: ['u64', 8],
  size_t: ['u64', 8],
  ssize_t: ['i64', 8],
  ptrdiff_t: ['i64', 8],
  intptr_t: ['i64', 8],
  uintptr_t: ['u64', 8],
};

const POINTER: KnownType = { sizeBytes: 8, alignBytes: 8, scalar: 'pointer', count: undefined };
const ENUM: KnownType = { sizeBytes: 4, alignBytes: 4, scalar: 'i32', count: undefined };

const BASIC = new Set(['char', 'short', 'int', 'long', 'signed', 'unsigned', 'float', 'double', '_Bool', 'void']);
const QUALIFIERS = new Set(['const', 'volatile', 'restrict', '__restrict', '__restrict__', '__extension__', '__const']);
const STORAGE = new Set(['extern', 'static', 'inline', '__inline', '__inline__', '_Noreturn', 'register']);

/**
 * Reads the declarations of a preprocessed header. Of functions only the names are read, of inline ones the body is skipped. What
 * a struct has that is not laid out for certain makes that struct unknown, with the reason, and nothing else.
 *
 * @param file - for messages
 * @throws BridgeError BRIDGE_BAD_HEADER where the text is no C
 */
export function readDeclarations(tokens: readonly Token[], file: string): Declarations {
  const parser = new Parser(tokens, file);
  parser.run();
  return parser;
}

/** A name and what its type is made of. */
interface Declarator {
  readonly name: string | undefined;
  readonly isFunction: boolean;
  readonly type: CType;
}

class Parser implements Declarations {
  readonly structs: Map<string, CStruct | { unknown: string }> = new Map();
  readonly functions: Set<string> = new Set();
  readonly #tokens: readonly Token[];
  readonly #file: string;
  readonly #typedefs = new Map<string, CType>();
  readonly #constants = new Map<string, bigint | string>();
  #at = 0;

  constructor(tokens: readonly Token[], file: string) {
    this.#tokens = tokens;
    this.#file = file;
  }

  run(): void {
    while (this.#at < this.#tokens.length) {
      if (this.#tokens[this.#at]!.kind === 'skipped') this.#at++;
      else this.#external();
    }
  }

  #external(): void {
    if (this.#take(';')) return;
    const start = this.#at;
    if (this.#take('_Static_assert')) {
      this.#balanced();
      return;
    }
    const isTypedef = this.#take('typedef');
    let base: CType;
    try {
      base = this.#specifiers(0);
    } catch (error) {
      // What is no type that we know, such as a macro of another header, is no struct either.
      if (!(error instanceof UnknownSyntax)) throw error;
      this.#at = start;
      this.#skipDeclaration();
      return;
    }
    if (this.#take(';')) return;
    do {
      const { name, type, isFunction } = this.#declarator(base, 0);
      if (name !== undefined && isTypedef) this.#defineType(name, this.#certain(start, type));
      else if (name !== undefined && isFunction) this.functions.add(name);
      if (this.#peek() === '=') {
        this.#skipDeclaration();
        return;
      }
      if (isFunction && this.#peek() === '{') {
        this.#balanced();
        return;
      }
    } while (this.#take(','));
    this.#expect(';');
  }

  #defineType(name: string, type: CType): void {
    const before = this.#typedefs.get(name);
    this.#typedefs.set(
      name,
      before === undefined || isSame(before, type) ? type : { unknown: `type ${name} is defined twice, differently` },
    );
    if (!this.structs.has(name) && ('fields' in type || 'unknown' in type)) this.structs.set(name, type);
  }

  /** The type in front of the names. */
  #specifiers(depth: number): CType {
    if (depth > DEEPEST) throw this.#error('types are nested too deeply');
    const basic: string[] = [];
    let type: CType | undefined;
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token === undefined || token.kind !== 'name') break;
      if (QUALIFIERS.has(token.text) || STORAGE.has(token.text)) this.#at++;
      else if (token.text === '__attribute__') this.#attribute();
      else if (BASIC.has(token.text)) {
        basic.push(token.text);
        this.#at++;
      } else if (basic.length > 0 || type !== undefined) break;
      else if (token.text === 'struct' || token.text === 'union') type = this.#struct(depth);
      else if (token.text === 'enum') type = this.#enum();
      else {
        type = this.#typeNamed(token.text);
        if (type === undefined) throw new UnknownSyntax(`type ${token.text} is not declared`);
        this.#at++;
      }
    }
    if (type === undefined && basic.length === 0) throw new UnknownSyntax(`${this.#peek() ?? 'the end'} is no type`);
    return type ?? basicType(basic);
  }

  #typeNamed(name: string): CType | undefined {
    const scalar = SCALARS[name];
    if (scalar !== undefined) return scalarType(scalar);
    // Only ever behind a pointer.
    if (name === 'FILE' || name === 'va_list') return { unknown: `the size of ${name} is the C library's` };
    return this.#typedefs.get(name);
  }

  #struct(depth: number): CType {
    const start = this.#at;
    const isUnion = this.#next().text === 'union';
    const attributes = this.#peek() === '__attribute__';
    while (this.#peek() === '__attribute__') this.#attribute();
    const tag = this.#tokens[this.#at]?.kind === 'name' ? this.#next().text : undefined;
    if (this.#peek() !== '{') {
      if (tag === undefined) throw this.#error('a struct has neither a name nor a body');
      // Looked up when it is used: it may be declared first and defined later.
      return this.structs.get(tag) ?? { unknown: `struct ${tag} is declared, but not defined` };
    }
    const body = this.#body(isUnion, depth);
    const isAttributed = attributes || this.#peek() === '__attribute__';
    let struct: CStruct | { unknown: string } = isAttributed ? { unknown: 'it has attributes' } : body;
    while (this.#peek() === '__attribute__') this.#attribute();
    struct = this.#certain(start, struct);
    if (tag !== undefined) {
      if (this.structs.has(tag)) struct = { unknown: 'it is defined twice' };
      this.structs.set(tag, struct);
    }
    return struct;
  }

  #body(isUnion: boolean, depth: number): CStruct | { unknown: string } {
    this.#expect('{');
    const fields = new Map<string, CField>();
    let [sizeBytes, alignBytes] = [0, 1];
    let unknown: string | undefined;
    while (!this.#take('}')) {
      if (this.#at >= this.#tokens.length) throw this.#error('a struct does not end');
      if (this.#tokens[this.#at]!.kind === 'skipped' || this.#peek() === ';') {
        this.#at++;
        continue;
      }
      try {
        const base = this.#specifiers(depth + 1);
        do {
          const isAnonymous = this.#peek() === ';';
          const { name, type } = isAnonymous ? { name: `(${fields.size})`, type: base } : this.#declarator(base, 0);
          if (this.#peek() === ':') throw new UnknownSyntax('it has a bit-field');
          if (name === undefined) throw new UnknownSyntax('a field has no name');
          if ('unknown' in type) {
            unknown ??= `field ${name}: ${type.unknown}`;
            continue;
          }
          if (fields.has(name)) throw new UnknownSyntax(`field ${name} is there twice`);
          const offsetBytes = isUnion ? 0 : padded(sizeBytes, type.alignBytes);
          fields.set(name, { offsetBytes, type });
          sizeBytes = isUnion ? Math.max(sizeBytes, type.sizeBytes) : offsetBytes + type.sizeBytes;
          alignBytes = Math.max(alignBytes, type.alignBytes);
        } while (this.#take(','));
        this.#expect(';');
      } catch (error) {
        if (!(error instanceof UnknownSyntax)) throw error;
        unknown ??= error.message;
        this.#skipField();
      }
    }
    if (sizeBytes > LARGEST_BYTES) unknown ??= 'it is too large';
    if (fields.size === 0) unknown ??= 'it has no fields';
    if (unknown !== undefined) return { unknown };
    return { sizeBytes: padded(sizeBytes, alignBytes), alignBytes, scalar: undefined, count: undefined, fields };
  }

  #enum(): CType {
    this.#at++;
    if (this.#tokens[this.#at]?.kind === 'name') this.#at++;
    // C23 and C++ may choose another type.
    if (this.#peek() === ':') throw new UnknownSyntax('an enum has a type of its own');
    if (!this.#take('{')) return ENUM;
    let previous: bigint | string = -1n;
    while (!this.#take('}')) {
      const token = this.#next();
      if (token.kind === 'skipped') continue;
      if (token.kind !== 'name') throw this.#error(`${token.text} is no name of an enumerator`);
      if (this.#peek() === '__attribute__') this.#attribute();
      let value: bigint | string = typeof previous === 'bigint' ? previous + 1n : previous;
      if (this.#take('=')) value = this.#constant(this.#until([',', '}']));
      if (token.dependsOn !== undefined) value = dependence(token.dependsOn);
      this.#constants.set(token.text, value);
      previous = value;
      if (!this.#take(',') && this.#peek() !== '}') throw this.#error('an enum does not end');
    }
    return ENUM;
  }

  /** @param depth - of parentheses */
  #declarator(base: CType, depth: number): Declarator {
    if (depth > DEEPEST) throw this.#error('a declaration is nested too deeply');
    let type = base;
    for (;;) {
      if (this.#take('*')) type = POINTER;
      else if (this.#peek() === '__attribute__') this.#attribute();
      else if (!this.#takeAny(QUALIFIERS)) break;
    }
    // (*name)(...): what stands behind the parenthesis is applied before what stands in it.
    const inner = this.#peek() === '(' ? this.#at : undefined;
    let name: string | undefined;
    if (inner !== undefined) this.#balanced();
    else if (this.#tokens[this.#at]?.kind === 'name') name = this.#next().text;
    const lengths: (number | string)[] = [];
    let isFunction = false;
    for (;;) {
      if (this.#peek() === '[') {
        this.#at++;
        const length = this.#constant(this.#until([']']));
        lengths.push(typeof length === 'bigint' ? Number(length) : length);
        this.#expect(']');
      } else if (this.#peek() === '(') {
        this.#balanced();
        isFunction = true;
      } else break;
    }
    let isAttributed = false;
    while (this.#peek() === '__attribute__') isAttributed = this.#attribute() || isAttributed;
    for (const length of lengths.toReversed()) type = arrayOf(type, length);
    if (isFunction) type = { unknown: 'it is a function' };
    if (isAttributed) type = { unknown: 'it has attributes' };
    if (inner === undefined) return { name, isFunction, type };

    const after = this.#at;
    this.#at = inner + 1;
    const declarator = this.#declarator(type, depth + 1);
    this.#expect(')');
    this.#at = after;
    return { ...declarator, isFunction: declarator.isFunction || (isFunction && declarator.type === type) };
  }

  #constant(tokens: readonly Token[]): bigint | string {
    const dependsOn = tokens.find((token) => token.dependsOn !== undefined)?.dependsOn;
    if (dependsOn !== undefined) return dependence(dependsOn);
    try {
      return evaluate(tokens, {
        valueOf: (name) => {
          const value = this.#constants.get(name);
          if (typeof value === 'bigint') return value;
          throw new Error(value ?? `${name} is not defined`);
        },
        sizeOf: (typeTokens) => {
          const name = typeTokens.map(({ text }) => text).join(' ');
          const type = SCALARS[name] ? scalarType(SCALARS[name]) : this.#typedefs.get(name);
          if (type === undefined || 'unknown' in type) throw new Error(`the size of ${name} is not known`);
          return BigInt(type.sizeBytes);
        },
      });
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Whether tokens from `start` to here are the same whatever the build defines. */
  #certain<T extends CType>(start: number, type: T): T | { unknown: string } {
    const uncertain = this.#tokens.slice(start, this.#at).find(({ dependsOn }) => dependsOn !== undefined);
    return uncertain === undefined ? type : { unknown: dependence(uncertain.dependsOn!) };
  }

  /** @returns whether it may change the layout: what says that a thing is deprecated, or exported, does not */
  #attribute(): boolean {
    this.#expect('__attribute__');
    const start = this.#at;
    this.#balanced();
    const names = this.#tokens.slice(start, this.#at).map(({ text }) => text);
    return !names.some((name) => ['deprecated', 'visibility', 'format', 'unused', '__unused__'].includes(name));
  }

  /** Over a parenthesis, bracket or brace and all that is in it. */
  #balanced(): void {
    let depth = 0;
    do {
      const { text } = this.#next();
      if (text === '(' || text === '[' || text === '{') depth++;
      if (text === ')' || text === ']' || text === '}') depth--;
      if (depth < 0) throw this.#error(`${text} is not expected here`);
    } while (depth > 0);
  }

  #until(ends: readonly string[]): readonly Token[] {
    const start = this.#at;
    while (!ends.includes(this.#peek() ?? '')) {
      if (this.#peek() === '(') this.#balanced();
      else this.#next();
    }
    return this.#tokens.slice(start, this.#at);
  }

  #skipDeclaration(): void {
    while (this.#at < this.#tokens.length) {
      const text = this.#peek()!;
      if (text === ';') {
        this.#at++;
        return;
      }
      if (text === '{') {
        this.#balanced();
        // The end of a function; behind a struct there is more.
        if (this.#peek() !== ';') return;
      } else if (text === '(' || text === '[') this.#balanced();
      else if (text === '}') throw this.#error('} is not expected here');
      else this.#at++;
    }
  }

  #skipField(): void {
    while (this.#peek() !== ';' && this.#peek() !== '}') {
      if (['(', '[', '{'].includes(this.#peek() ?? '')) this.#balanced();
      else this.#next();
    }
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at]?.text;
  }

  #next(): Token {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw this.#error('it ends in the middle of a declaration');
    return token;
  }

  #take(text: string): boolean {
    if (this.#peek() !== text) return false;
    this.#at++;
    return true;
  }

  #takeAny(texts: ReadonlySet<string>): boolean {
    if (!texts.has(this.#peek() ?? '')) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#error(`${text} is missing before ${this.#peek() ?? 'the end'}`);
  }

  #error(what: string): Error {
    return badHeader(this.#file, (this.#tokens[this.#at] ?? this.#tokens.at(-1))?.line ?? 1, what);
  }
}

/** Something that only makes one declaration unknown. */
class UnknownSyntax extends Error {
  override readonly name = 'UnknownSyntax';
}

function basicType(words: readonly string[]): CType {
  if (words.includes('void')) return { unknown: 'it is void' };
  const isUnsigned = words.includes('unsigned');
  const rest = words.filter((word) => word !== 'unsigned' && word !== 'signed' && word !== 'int');
  const longs = rest.filter((word) => word === 'long').length;
  const name =
    longs > 0
      ? rest
          .filter((word) => word !== 'long')
          .concat('long')
          .join(' ')
      : (rest[0] ?? 'int');
  const scalar = SCALARS[isUnsigned ? (name === 'int' ? 'unsigned' : `unsigned ${name}`) : name];
  return scalar === undefined || (longs === 0 && rest.length > 1)
    ? { unknown: `type ${words.join(' ')} is not known` }
    : scalarType(scalar);
}

function scalarType([scalar, sizeBytes]: readonly [AbiScalar, number]): KnownType {
  return { sizeBytes, alignBytes: sizeBytes, scalar, count: undefined };
}

function arrayOf(type: CType, length: number | string): CType {
  if ('unknown' in type) return type;
  if (typeof length === 'string') return { unknown: `its length is not known: ${length}` };
  if (length < 1 || length * type.sizeBytes > LARGEST_BYTES) return { unknown: `it has a length of ${length}` };
  return { ...type, sizeBytes: type.sizeBytes * length, count: (type.count ?? 1) * length };
}

function isSame(a: CType, b: CType): boolean {
  if ('unknown' in a || 'unknown' in b) return a === b;
  return a.sizeBytes === b.sizeBytes && a.alignBytes === b.alignBytes && a.scalar === b.scalar && a.count === b.count;
}

function dependence(macro: string): string {
  return `it depends on macro ${macro}, which the build may define`;
}

function padded(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}
