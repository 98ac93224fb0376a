import { evaluate } from './expression.ts';
import { badHeader, type Token, tokenLines } from './tokens.ts';

/** A header by the name in its `#include`; undefined where there is none, and for those of the system. */
export type HeaderSource = (name: string) => string | undefined;

interface Macro {
  /** Undefined for one without parentheses. */
  readonly parameters: readonly string[] | undefined;
  readonly variadic: boolean;
  readonly body: readonly Token[];
}

interface Condition {
  /** Whether lines count now. */
  active: boolean;
  /** Whether a branch was taken, or the whole condition stands where nothing counts. */
  decided: boolean;
  /** The macro that the build may define otherwise, if the condition depends on one. */
  dependsOn: string | undefined;
}

const LIMITS = {
  headers: 64,
  headerBytes: 4 << 20,
  includeDepth: 32,
  conditionDepth: 64,
  steps: 1 << 19,
  macroDepth: 64,
};

/** What GCC and Clang define for C on x86-64 Linux, as far as headers of llama.cpp may ask. */
const DEFINED: Readonly<Record<string, string>> = {
  __GNUC__: '13',
  __STDC__: '1',
  __STDC_VERSION__: '201112',
  __linux__: '1',
  __unix__: '1',
  __x86_64__: '1',
  __LP64__: '1',
  UINTPTR_MAX: '18446744073709551615',
  SIZE_MAX: '18446744073709551615',
};

/** What they do not define there, whatever the options of a build are. Of all others, nobody knows from the headers. */
const UNDEFINED: ReadonlySet<string> = new Set([
  '__cplusplus',
  '_MSC_VER',
  '_WIN32',
  '_WIN64',
  '__MINGW32__',
  '__CYGWIN__',
  '__APPLE__',
  '__ANDROID__',
  '__EMSCRIPTEN__',
  '__CUDACC__',
  '__HIPCC__',
  '__arm__',
  '__aarch64__',
  '__ARM_NEON',
  '__i386__',
  '__riscv',
]);

/**
 * The tokens of a header with all that it includes, as a C compiler for x86-64 Linux sees them: conditions decided, macros
 * expanded. Where a condition depends on a macro that a build may define, the tokens say so.
 *
 * @throws BridgeError BRIDGE_BAD_HEADER
 */
export function preprocess(headers: HeaderSource, name: string): Token[] {
  return new Preprocessor(headers).run(name);
}

class Preprocessor {
  readonly #headers: HeaderSource;
  readonly #macros = new Map<string, Macro>();
  readonly #included = new Set<string>();
  readonly #output: Token[] = [];
  #pending: Token[] = [];
  #steps = 0;
  #file = '';

  constructor(headers: HeaderSource) {
    this.#headers = headers;
    for (const [name, text] of Object.entries(DEFINED)) {
      const body: Token[] = [numberToken(text, 0)];
      this.#macros.set(name, { parameters: undefined, variadic: false, body });
    }
  }

  run(name: string): Token[] {
    if (!this.#include(name, 0)) throw badHeader(name, 1, 'there is no such header');
    return this.#output;
  }

  /** Each header is read once: all have guards, and one without would be an error of C. */
  #include(name: string, depth: number): boolean {
    if (this.#included.has(name)) return true;
    const text = this.#headers(name);
    if (text === undefined) return false;
    if (depth > LIMITS.includeDepth || this.#included.size === LIMITS.headers || text.length > LIMITS.headerBytes) {
      throw badHeader(name, 1, 'there are too many headers, or too large ones');
    }
    this.#included.add(name);
    const outer = this.#file;
    this.#file = name;
    this.#lines(tokenLines(text, name), depth);
    this.#file = outer;
    return true;
  }

  #lines(lines: readonly (readonly Token[])[], depth: number): void {
    const conditions: Condition[] = [];
    for (const [index, line] of lines.entries()) {
      const isActive = conditions.at(-1)?.active ?? true;
      if (line[0]!.text !== '#') {
        if (isActive) {
          const dependsOn = conditions.findLast((condition) => condition.dependsOn !== undefined)?.dependsOn;
          for (const token of line) this.#pending.push(dependsOn === undefined ? token : { ...token, dependsOn });
        }
        continue;
      }
      this.#flush();
      const [, directive, ...rest] = line;
      if (directive === undefined) continue;
      if (this.#conditional(directive, rest, conditions, lines[index + 1])) continue;
      if (!isActive) continue;
      this.#directive(directive, rest, conditions, depth);
    }
    this.#flush();
    if (conditions.length > 0) throw this.#error(lines.at(-1)![0]!, '#endif is missing');
  }

  #directive(directive: Token, rest: readonly Token[], conditions: readonly Condition[], depth: number): void {
    switch (directive.text) {
      case 'define':
        return this.#define(directive, rest, conditions.findLast(({ dependsOn }) => dependsOn)?.dependsOn);
      case 'undef':
        this.#macros.delete(rest[0]?.text ?? '');
        return;
      case 'include': {
        // Those of the system begin with <, and have no struct of llama.cpp.
        const name = rest[0]?.kind === 'text' ? rest[0].text.slice(1, -1) : undefined;
        if (name !== undefined) this.#include(name.slice(name.lastIndexOf('/') + 1), depth + 1);
        return;
      }
      case 'error':
        throw this.#error(directive, 'the header refuses to be compiled (#error)');
      case 'pragma':
        // #pragma pack changes layouts.
        if (rest.some(({ text }) => text === 'pack')) throw this.#error(directive, '#pragma pack is not supported');
        return;
      case 'warning':
      case 'line':
        return;
      default:
        throw this.#error(directive, `#${directive.text} is not known`);
    }
  }

  /** @returns whether the directive is one of conditions */
  #conditional(
    directive: Token,
    rest: readonly Token[],
    conditions: Condition[],
    nextLine: readonly Token[] | undefined,
  ): boolean {
    const condition = conditions.at(-1);
    switch (directive.text) {
      case 'if':
      case 'ifdef':
      case 'ifndef': {
        if (conditions.length === LIMITS.conditionDepth)
          throw this.#error(directive, 'conditions are nested too deeply');
        if (!(condition?.active ?? true)) {
          conditions.push({ active: false, decided: true, dependsOn: undefined });
          return true;
        }
        const { value, dependsOn } = this.#decide(directive, rest);
        conditions.push({ active: value, decided: value, dependsOn });
        // `#ifndef X` and then `#define X`: a guard, or a value that the header itself gives.
        const [hash, define, name] = nextLine ?? [];
        const isDefault = hash?.text === '#' && define?.text === 'define' && name?.text === rest[0]?.text;
        if (directive.text === 'ifndef' && isDefault) conditions.at(-1)!.dependsOn = undefined;
        this.#markSkipped(conditions.at(-1)!, directive);
        return true;
      }
      case 'elif':
      case 'else': {
        if (condition === undefined) throw this.#error(directive, `#${directive.text} without #if`);
        if (condition.decided) {
          condition.active = false;
        } else {
          const { value, dependsOn } =
            directive.text === 'else' ? { value: true, dependsOn: undefined } : this.#decide(directive, rest);
          condition.active = value;
          condition.decided = value;
          condition.dependsOn ??= dependsOn;
        }
        this.#markSkipped(condition, directive);
        return true;
      }
      case 'endif':
        if (conditions.pop() === undefined) throw this.#error(directive, '#endif without #if');
        return true;
      default:
        return false;
    }
  }

  #markSkipped({ active, dependsOn }: Condition, { line }: Token): void {
    if (!active && dependsOn !== undefined)
      this.#output.push({ kind: 'skipped', text: '', line, glued: false, dependsOn });
  }

  /** As the compiler does: a name that is no macro is 0. But whether it is one, the build may decide. */
  #decide(directive: Token, rest: readonly Token[]): { value: boolean; dependsOn: string | undefined } {
    let dependsOn: string | undefined;
    const isDefined = (name: string | undefined): boolean => {
      if (name === undefined) throw this.#error(directive, 'the name of a macro is missing');
      const defined = this.#macros.has(name);
      if (!defined && !UNDEFINED.has(name)) dependsOn ??= name;
      return defined;
    };
    if (directive.text === 'ifdef') return { value: isDefined(rest[0]?.text), dependsOn };
    if (directive.text === 'ifndef') return { value: !isDefined(rest[0]?.text), dependsOn };

    const known: Token[] = [];
    for (let at = 0; at < rest.length; at++) {
      const token = rest[at]!;
      if (token.text !== 'defined') {
        known.push(token);
        continue;
      }
      const inParentheses = rest[at + 1]?.text === '(';
      at += inParentheses ? 2 : 1;
      known.push(numberToken(isDefined(rest[at]?.text) ? '1' : '0', token.line));
      if (inParentheses) at++;
    }
    try {
      const value = evaluate(this.#expand(known, new Set()), {
        valueOf: (name) => (isDefined(name), 0n),
        sizeOf: () => {
          throw new Error('sizeof in a condition');
        },
      });
      return { value: value !== 0n, dependsOn };
    } catch (error) {
      if (!(error instanceof Error) || 'code' in error) throw error;
      throw this.#error(directive, error.message);
    }
  }

  #define(directive: Token, rest: readonly Token[], dependsOn: string | undefined): void {
    const [name, ...after] = rest;
    if (name?.kind !== 'name') throw this.#error(directive, 'the name of a macro is missing');
    const hasParameters = after[0]?.text === '(' && after[0].glued;
    const close = after.findIndex(({ text }) => text === ')');
    if (hasParameters && close === -1) throw this.#error(name, `the parameters of macro ${name.text} do not end`);
    const inside = hasParameters ? after.slice(1, close) : [];
    const names = inside.filter((_, index) => index % 2 === 0).map(({ text }) => text);
    const body = (hasParameters ? after.slice(close + 1) : after).map((token) =>
      dependsOn === undefined ? token : { ...token, dependsOn },
    );
    this.#macros.set(name.text, {
      parameters: hasParameters ? names.filter((each) => each !== '...') : undefined,
      variadic: names.at(-1) === '...',
      body,
    });
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    for (const token of this.#expand(this.#pending, new Set())) this.#output.push(token);
    this.#pending = [];
  }

  /** @param hidden - macros that are being expanded; they do not expand in themselves */
  #expand(tokens: readonly Token[], hidden: ReadonlySet<string>): Token[] {
    if (hidden.size > LIMITS.macroDepth) throw this.#error(tokens[0], 'macros are nested too deeply');
    const result: Token[] = [];
    for (let at = 0; at < tokens.length; at++) {
      this.#steps++;
      if (this.#steps > LIMITS.steps) throw this.#error(tokens[at], 'macros make too much of it');
      const token = tokens[at]!;
      const macro = token.kind === 'name' && !hidden.has(token.text) ? this.#macros.get(token.text) : undefined;
      if (macro === undefined || (macro.parameters !== undefined && tokens[at + 1]?.text !== '(')) {
        result.push(token);
        continue;
      }
      let { body } = macro;
      if (macro.parameters !== undefined) {
        const call = this.#arguments(tokens, at + 1, token);
        at = call.end;
        body = this.#substitute(token, macro, call.values, hidden);
      }
      for (const each of this.#expand(body, new Set([...hidden, token.text])))
        result.push({ ...each, line: token.line });
    }
    return result;
  }

  /** @param open - index of the opening parenthesis */
  #arguments(tokens: readonly Token[], open: number, name: Token): { values: Token[][]; end: number } {
    const values: Token[][] = [[]];
    let depth = 0;
    for (let at = open; at < tokens.length; at++) {
      const token = tokens[at]!;
      if (token.text === '(') depth++;
      if (token.text === ')') depth--;
      if (depth === 0) return { values, end: at };
      if (depth === 1 && token.text === ',') values.push([]);
      else if (at > open) values.at(-1)!.push(token);
    }
    throw this.#error(name, `the arguments of macro ${name.text} do not end`);
  }

  #substitute(name: Token, macro: Macro, values: Token[][], hidden: ReadonlySet<string>): readonly Token[] {
    const parameters = macro.parameters!;
    const isCount = macro.variadic ? values.length >= parameters.length : values.length === parameters.length;
    if (!isCount && !(parameters.length === 0 && values.length === 1 && values[0]!.length === 0)) {
      throw this.#error(name, `macro ${name.text} has ${parameters.length} parameters, not ${values.length}`);
    }
    const comma: Token = { kind: 'punctuation', text: ',', line: name.line, glued: false };
    const rest = values.slice(parameters.length).flatMap((value, index) => (index === 0 ? value : [comma, ...value]));
    return macro.body.flatMap((token) => {
      if (token.text === '#' || token.text === '##') {
        throw this.#error(name, `macro ${name.text} makes tokens of text, which is not supported`);
      }
      if (macro.variadic && token.text === '__VA_ARGS__') return this.#expand(rest, hidden);
      const index = token.kind === 'name' ? parameters.indexOf(token.text) : -1;
      return index === -1 ? [token] : this.#expand(values[index]!, hidden);
    });
  }

  #error(token: Token | undefined, what: string): Error {
    return badHeader(this.#file, token?.line ?? 1, what);
  }
}

function numberToken(text: string, line: number): Token {
  return { kind: 'number', text, line, glued: false };
}
