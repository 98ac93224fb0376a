import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { TokenizerError } from './errors.ts';

// A template comes from a model file, so it is hostile input. The library has no limits: `range(1e8)` alone ends the
// process. Here its interpreter is metered instead of being put in a worker: the same template then succeeds or fails
// the same way on every machine, in Node and in browsers, and memory is bounded too, which a page cannot do to a worker.
//
// Every step of the interpreter goes through `evaluate`, which is where steps, sizes and depth are counted:
//  - each step costs, and so do the values that it gives, by what is done with them;
//  - a value's size counts what it holds, as often as it holds it (a list of twice the same list is twice as large),
//    because that is what printing or joining it would take; no value may be larger than `size`;
//  - what a filter or method makes of its operand and arguments is at most the product of their sizes (`join`,
//    `replace`, `indent`, `tojson`), so that product is limited before it runs.
const LIMITS = {
  templateLength: 2 ** 18,
  /** The library's expression for `generation` blocks takes time by the square of such a run. */
  whitespaceRun: 1000,
  /** Of a value, in characters; elements of lists and objects count `ELEMENT` each. More by four for each of the input. */
  size: 2 ** 21,
  /** Of operand and arguments of a filter or method. More by 64 for each character of the input. */
  product: 2 ** 25,
  /** A step costs `STEP`, two characters cost one: one or two seconds at worst. More by 256 for each of the input. */
  cost: 2 ** 24,
  /** Of steps within each other. */
  depth: 500,
  rangeLength: 2 ** 16,
} as const;
const ELEMENT = 16;
const STEP = 8;
const ITERATION = 64;
/** Of a name that nothing is known by: the library finds out by an exception. */
const UNKNOWN_NAME = 1000;

type Value = ReturnType<Interpreter['evaluate']>;
type Statement = NonNullable<Parameters<Interpreter['evaluate']>[0]>;

interface JinjaOptions {
  /** Makes `strftime_now` known. Default: unknown, for which templates with a date have a fixed one. */
  readonly now?: Date;
}

/** A parsed template. Rendering gives the same text for the same variables. */
export interface JinjaTemplate {
  /**
   * @param variables - JSON-like
   * @throws TokenizerError TOKENIZER_TEMPLATE_LIMIT if it takes too much time or memory, TOKENIZER_BAD_TEMPLATE for any
   *   other failure, `raise_exception` of the template included
   */
  render(variables: Readonly<Record<string, unknown>>, options?: JinjaOptions): string;
}

/** @throws TokenizerError TOKENIZER_BAD_TEMPLATE, TOKENIZER_TEMPLATE_LIMIT */
export function parseJinja(source: string): JinjaTemplate {
  if (source.length > LIMITS.templateLength) throw limit(`is longer than ${LIMITS.templateLength} characters`);
  if (new RegExp(String.raw`\s{${LIMITS.whitespaceRun}}`).test(source)) {
    throw limit(`has a run of ${LIMITS.whitespaceRun} spaces or line breaks`);
  }
  const program = guarded(() => parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })));
  return {
    render: (variables, options = {}) =>
      guarded(() => {
        const environment = globals(options.now);
        for (const [name, value] of Object.entries(variables)) environment.set(name, value);
        const text = new MeteredInterpreter(environment, source.length).run(program).value;
        if (typeof text !== 'string') throw new Error('it gives no text');
        return text;
      }),
  };
}

interface Frame {
  readonly statement: Statement;
  /** Of what was evaluated for this statement: the largest size, and that of all. */
  largest: number;
  total: number;
}

class MeteredInterpreter extends Interpreter {
  readonly #sizes = new WeakMap<object, number>();
  readonly #templateLength: number;
  readonly #inputSize: number;
  #cost = 0;
  #depth = 0;
  #frame: Frame | undefined;

  constructor(environment: Environment, templateLength: number) {
    super(environment);
    this.#templateLength = templateLength;
    let size = 0;
    for (const value of environment.variables.values()) size += this.#sizeOf(value, true);
    this.#inputSize = size;
  }

  override evaluate(statement: Statement | undefined, environment: Environment): Value {
    if (statement === undefined) return super.evaluate(statement, environment);
    if (++this.#depth > LIMITS.depth) throw limit(`nests more than ${LIMITS.depth} steps`);
    this.#spend(STEP);
    // The library goes through the scopes for a name, and through the body of a macro each time it is defined.
    if (statement.type === 'Identifier') this.#spend(this.#depth);
    if (statement.type === 'Macro' || statement.type === 'CallStatement') this.#spend(this.#templateLength);
    const outer = this.#frame;
    const frame: Frame = { statement, largest: 0, total: 0 };
    this.#frame = frame;
    try {
      const value = super.evaluate(statement, environment);
      this.#account(value, frame, outer);
      return value;
    } finally {
      this.#frame = outer;
      this.#depth--;
    }
  }

  /** Counts the value of the statement of `frame`, which was evaluated for that of `outer`. */
  #account(value: Value, frame: Frame, outer: Frame | undefined): void {
    // A method, wherever it is called, is as large as what it is a method of.
    const isMethod = value.type === 'FunctionValue' && frame.statement.type === 'MemberExpression';
    if (isMethod) this.#sizes.set(value, Math.max(frame.largest, 1));
    const size = this.#sizeOf(value, true);
    if (!(size <= LIMITS.size + 4 * this.#inputSize)) throw limit('makes a value that is too large');
    if (frame.statement.type === 'Identifier' && value.type === 'UndefinedValue') this.#spend(UNKNOWN_NAME);
    if (outer === undefined) return;

    const use = useOf(frame.statement, outer.statement);
    const isText = typeof value.value === 'string';
    this.#spend(isText || use === 'all' ? size / 2 : elementsOf(value) * (use === 'iteration' ? ITERATION : 1));

    const isWidth = typeof value.value === 'number' && outer.total > 0 && outer.statement.type.startsWith('Filter');
    const factor = isWidth ? Math.abs(value.value as number) : size;
    outer.largest = Math.max(outer.largest, factor);
    outer.total += Math.max(factor, 1);
    const amplifies = isFilter(outer.statement) || (isCall(outer.statement) && this.#isMethod(value));
    if (amplifies && !(outer.largest * (outer.total - outer.largest) <= LIMITS.product + 64 * this.#inputSize)) {
      throw limit('has a filter or method whose result could be too long');
    }
  }

  #isMethod(value: Value): boolean {
    return value.type === 'FunctionValue' && this.#sizes.has(value);
  }

  #spend(cost: number): void {
    this.#cost += cost;
    if (!(this.#cost <= LIMITS.cost + 256 * this.#inputSize)) throw limit('takes too many steps');
  }

  /** What printing the value would take. Lists and objects never change, so theirs is kept; a namespace does change. */
  #sizeOf(value: Value, outermost: boolean): number {
    if (typeof value.value === 'string') return value.value.length;
    const known = this.#sizes.get(value);
    if (known !== undefined) return known;
    const isNamespace = value.type === 'NamespaceValue';
    if (isNamespace && !outermost) throw limit('puts a namespace into another value');
    let size = 1;
    if (Array.isArray(value.value)) {
      for (const element of value.value) size += ELEMENT + this.#sizeOf(element, false);
    } else if (value.value instanceof Map) {
      for (const [key, element] of value.value) size += ELEMENT + String(key).length + this.#sizeOf(element, false);
    } else {
      return size;
    }
    if (!isNamespace) this.#sizes.set(value, size);
    return size;
  }
}

/** Filters that take no time by the size of what is in their operand. */
const CHEAP_FILTERS: ReadonlySet<string> = new Set(['length', 'first', 'last', 'list', 'safe', 'items']);
/** Expressions that pass a value on or look at the outside of it. */
const PASSES_ON: ReadonlySet<string> = new Set(
  'MemberExpression TestExpression UnaryExpression Ternary SelectExpression ArrayLiteral TupleLiteral ObjectLiteral'.split(
    ' ',
  ),
);

/** The parts of the library's statements that matter here. */
type Parts = Statement & {
  readonly filter?: Statement & { readonly value?: unknown };
  readonly iterable?: Statement & { readonly lhs?: Statement };
  readonly test?: Statement;
  readonly value?: unknown;
};

/** What `outer` does with a list or an object from `statement`: goes through it, through all that is in it, or neither. */
function useOf(statement: Statement, outer: Parts): 'iteration' | 'all' | 'none' {
  if (PASSES_ON.has(outer.type) || (isFilter(outer) && isCheap(outer))) return 'none';
  if (outer.type === 'For' && (statement === outer.iterable || statement === outer.iterable?.lhs)) return 'iteration';
  if (outer.type === 'If' && statement === outer.test) return 'none';
  if (outer.type === 'Set' && statement === outer.value) return 'none';
  return 'all';
}

function isFilter({ type }: Statement): boolean {
  return type === 'FilterExpression' || type === 'FilterStatement';
}

function isCall({ type }: Statement): boolean {
  return type === 'CallExpression' || type === 'CallStatement';
}

function isCheap({ filter }: Parts): boolean {
  return filter?.type === 'Identifier' && CHEAP_FILTERS.has(String(filter.value));
}

function elementsOf(value: Value): number {
  if (Array.isArray(value.value)) return value.value.length;
  return value.value instanceof Map ? value.value.size : 0;
}

function globals(now: Date | undefined): Environment {
  const environment = new Environment();
  for (const name of ['true', 'True']) environment.set(name, true);
  for (const name of ['false', 'False']) environment.set(name, false);
  for (const name of ['none', 'None']) environment.set(name, null);
  environment.set('range', range);
  environment.set('raise_exception', (message: unknown) => {
    throw new Error(`the template says: ${String(message).slice(0, 1000)}`);
  });
  if (now !== undefined) environment.set('strftime_now', (format: unknown) => formatTime(now, String(format)));
  return environment;
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (![start, stop, step].every(Number.isSafeInteger) || step === 0) throw new Error('range() takes whole numbers');
  if (!(length <= LIMITS.rangeLength)) throw limit(`has a range of more than ${LIMITS.rangeLength} numbers`);
  return Array.from({ length }, (_, index) => start + index * step);
}

const MONTHS = 'January February March April May June July August September October November December'.split(' ');

/** The directives that chat templates use, in English whatever the locale. */
function formatTime(time: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const month = MONTHS[time.getMonth()]!;
  const values: Record<string, string> = {
    Y: String(time.getFullYear()),
    m: two(time.getMonth() + 1),
    d: two(time.getDate()),
    B: month,
    b: month.slice(0, 3),
    H: two(time.getHours()),
    M: two(time.getMinutes()),
    S: two(time.getSeconds()),
    '%': '%',
  };
  return format.replaceAll(/%([YmdBbHMS%])/g, (_, directive: string) => values[directive]!);
}

/** Any failure as a TokenizerError; a stack that overflows, as it does for expressions nested by the thousand, too. */
function guarded<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof TokenizerError) throw error;
    if (error instanceof RangeError) throw limit('is nested too deeply or makes a text that is too long', error);
    const reason = (error instanceof Error ? error.message : String(error)).slice(0, 1000);
    throw new TokenizerError('TOKENIZER_BAD_TEMPLATE', `The chat template cannot be rendered: ${reason}.`, {
      cause: error,
    });
  }
}

function limit(what: string, cause?: unknown): TokenizerError {
  return new TokenizerError('TOKENIZER_TEMPLATE_LIMIT', `The chat template ${what}. Choose another template.`, {
    cause,
  });
}
