import { createHash, type Hash } from 'node:crypto';
import { BridgeError, type BridgeErrorCode } from './errors.ts';
import type { GraphHooks } from './hooks.ts';
import type { ReferenceLibrary } from './library.ts';

/*
 * What parent and child say to each other, checked on both ends.
 *
 * The parent sends one request at a time: `open` (a library), then `load` (a model), then any of the others. The child
 * answers with arrays and then `done`, or with `failed`. An array is an `item` (what it is, its length) followed by
 * `part`s that fill it in order. `done` says how many items and values there were, and a digest of all of it: an answer
 * is whole only if the parent has received the same. Nothing else ends an answer well.
 */

/** How a prompt is evaluated: all logits from micro-batches, the last from micro-batches, or one token at a time. */
export type EvaluationMode = 'batch-all' | 'batch-last' | 'sequential';
export const EVALUATION_MODES: readonly EvaluationMode[] = ['batch-all', 'batch-last', 'sequential'];

export interface ContextSettings {
  /** Tokens. */
  readonly contextLength: number;
  /** Tokens that are evaluated in one run of the graph. */
  readonly microBatch: number;
  readonly threads: number;
  /** Types of the cache. */
  readonly keys: CacheType;
  readonly values: CacheType;
}
export type CacheType = 'f16' | 'f32';

/** Which result of the graph: its name, which of those with this name in a run, and the number of the run. */
export interface NodeKey {
  readonly name: string;
  readonly occurrence: number;
  readonly step: number;
}

/** Values that later operations read in place of a node's own. */
export interface NodeValues extends NodeKey {
  readonly values: Float32Array;
}

export type RequestBody =
  | { readonly kind: 'open'; readonly library: ReferenceLibrary }
  | { readonly kind: 'load'; readonly model: string; readonly context: ContextSettings; readonly hooks: GraphHooks }
  | { readonly kind: 'tokenize'; readonly text: string; readonly parseSpecial: boolean; readonly addSpecial: boolean }
  | { readonly kind: 'evaluate'; readonly ids: readonly number[]; readonly mode: EvaluationMode }
  | { readonly kind: 'decode'; readonly ids: readonly number[]; readonly mode: EvaluationMode; readonly count: number }
  | {
      readonly kind: 'trace';
      readonly ids: readonly number[];
      readonly mode: EvaluationMode;
      /** A regular expression on the nodes' names; empty for all. */
      readonly nodes: string;
      readonly overwrite: readonly NodeValues[];
    };
export type RequestKind = RequestBody['kind'];
export type Request = RequestBody & { readonly id: number };

/** As the library gives them; null where it has no such function. */
export interface LibraryVersion {
  readonly llama: string | null;
  readonly ggml: string | null;
  readonly ggmlCommit: string | null;
  readonly systemInfo: string;
}

/** What a request results in besides arrays. */
export interface Results {
  readonly open: LibraryVersion;
  readonly load: { readonly vocabSize: number };
  readonly tokenize: { readonly ids: readonly number[] };
  readonly evaluate: Record<never, never>;
  readonly decode: { readonly ids: readonly number[] };
  readonly trace: { readonly overwritten: number };
}

/** What an array is: a row of logits, or a node of the graph. */
export type ItemHeader =
  | { readonly kind: 'row'; readonly position: number }
  | (NodeKey & { readonly kind: 'node'; readonly op: string; readonly shape: readonly number[] });

export type Reply = { readonly id: number } & (
  | { readonly type: 'item'; readonly index: number; readonly header: ItemHeader; readonly length: number }
  | { readonly type: 'part'; readonly index: number; readonly offset: number; readonly values: Float32Array }
  | {
      readonly type: 'done';
      readonly result: Results[RequestKind];
      readonly items: number;
      readonly values: number;
      readonly sha256: string;
    }
  | { readonly type: 'failed'; readonly code: BridgeErrorCode; readonly message: string }
);

/** Floats in one message: 1 MiB. */
export const PART_LENGTH: number = 2 ** 18;
/** Floats of one array: a node of any model that fits into memory has fewer. */
const MAX_ITEM_LENGTH = 2 ** 31;
const MAX_TEXT_LENGTH = 2 ** 20;
const MAX_COUNT = 2 ** 31;

/** What a child may report about itself. Its own death is for the parent to see. */
const CHILD_CODES: readonly BridgeErrorCode[] = [
  'BRIDGE_BAD_LIBRARY',
  'BRIDGE_MISSING_SYMBOL',
  'BRIDGE_NO_LAYOUT',
  'BRIDGE_ABI_MISMATCH',
  'BRIDGE_WRONG_LIBRARY',
  'BRIDGE_NOT_STARTED',
  'BRIDGE_REFUSED',
  'BRIDGE_UNSUPPORTED',
  'BRIDGE_BAD_MESSAGE',
];

export function badMessage(what: string): BridgeError {
  return new BridgeError('BRIDGE_BAD_MESSAGE', `A message between bridge and child breaks the protocol: ${what}.`);
}

/** Counts and digests an answer as it goes by; both ends keep one. */
class AnswerDigest {
  items = 0;
  values = 0;
  readonly #hash: Hash = createHash('sha256');

  item(header: ItemHeader, length: number): void {
    this.items++;
    this.#hash.update(JSON.stringify([canonicalHeader(header), length]));
  }

  part(values: Float32Array): void {
    this.values += values.length;
    this.#hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  /** Lower-case hex. Ends the digest. */
  finish(result: Results[RequestKind]): string {
    return this.#hash.update(JSON.stringify(result)).digest('hex');
  }
}

function canonicalHeader(header: ItemHeader): unknown {
  return header.kind === 'row'
    ? ['row', header.position]
    : ['node', header.name, header.occurrence, header.step, header.op, header.shape];
}

type Fields = Readonly<Record<string, unknown>>;

/** An object with exactly these own keys. */
function fields(value: unknown, what: string, keys: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null) throw badMessage(`${what} is no object`);
  const found = Object.keys(value);
  const wrong = found.find((key) => !keys.includes(key)) ?? keys.find((key) => !found.includes(key));
  if (wrong !== undefined) throw badMessage(`${what} has or lacks "${wrong.slice(0, 40)}"`);
  return value as Fields;
}

function count(value: unknown, what: string, below = MAX_COUNT): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= below) {
    throw badMessage(`${what} is no integer from 0 to ${below - 1}`);
  }
  return value as number;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value.length > MAX_TEXT_LENGTH)
    throw badMessage(`${what} is no string, or too long`);
  return value;
}

function textOrNull(value: unknown, what: string): string | null {
  return value === null ? null : text(value, what);
}

function flag(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw badMessage(`${what} is neither true nor false`);
  return value;
}

function oneOf<T extends string>(value: unknown, what: string, allowed: readonly T[]): T {
  if (!(allowed as readonly unknown[]).includes(value)) throw badMessage(`${what} is none of ${allowed.join(', ')}`);
  return value as T;
}

function list<T>(value: unknown, what: string, item: (value: unknown, what: string) => T): T[] {
  if (!Array.isArray(value)) throw badMessage(`${what} is no array`);
  return value.map((element: unknown, index) => item(element, `${what}[${index}]`));
}

function floats(value: unknown, what: string): Float32Array {
  if (!(value instanceof Float32Array)) throw badMessage(`${what} is no array of f32`);
  return value;
}

function nodeValues(value: unknown, what: string): NodeValues {
  const of = fields(value, what, ['name', 'occurrence', 'step', 'values']);
  return {
    name: text(of['name'], `${what}.name`),
    occurrence: count(of['occurrence'], `${what}.occurrence`),
    step: count(of['step'], `${what}.step`),
    values: floats(of['values'], `${what}.values`),
  };
}

const COMMON = ['kind', 'id'];
const ids = (of: Fields): number[] => list(of['ids'], 'ids', count);
const mode = (of: Fields): EvaluationMode => oneOf(of['mode'], 'mode', EVALUATION_MODES);

const REQUESTS: { readonly [Kind in RequestKind]: (value: unknown) => RequestBody & { readonly kind: Kind } } = {
  open(value) {
    const of = fields(value, 'open', [...COMMON, 'library']);
    // Made by the bridge itself and not by the child; the native code verifies it against the library.
    return { kind: 'open', library: of['library'] as ReferenceLibrary };
  },
  load(value) {
    const of = fields(value, 'load', [...COMMON, 'model', 'context', 'hooks']);
    const context = fields(of['context'], 'context', ['contextLength', 'microBatch', 'threads', 'keys', 'values']);
    const hooks = fields(of['hooks'], 'hooks', ['reluSquared', 'int8Activations', 'halfValues']);
    return {
      kind: 'load',
      model: text(of['model'], 'model'),
      context: {
        contextLength: count(context['contextLength'], 'contextLength'),
        microBatch: count(context['microBatch'], 'microBatch'),
        threads: count(context['threads'], 'threads'),
        keys: oneOf(context['keys'], 'keys', ['f16', 'f32']),
        values: oneOf(context['values'], 'values', ['f16', 'f32']),
      },
      hooks: {
        reluSquared: flag(hooks['reluSquared'], 'reluSquared'),
        int8Activations: flag(hooks['int8Activations'], 'int8Activations'),
        halfValues: flag(hooks['halfValues'], 'halfValues'),
      },
    };
  },
  tokenize(value) {
    const of = fields(value, 'tokenize', [...COMMON, 'text', 'parseSpecial', 'addSpecial']);
    return {
      kind: 'tokenize',
      text: text(of['text'], 'text'),
      parseSpecial: flag(of['parseSpecial'], 'parseSpecial'),
      addSpecial: flag(of['addSpecial'], 'addSpecial'),
    };
  },
  evaluate(value) {
    const of = fields(value, 'evaluate', [...COMMON, 'ids', 'mode']);
    return { kind: 'evaluate', ids: ids(of), mode: mode(of) };
  },
  decode(value) {
    const of = fields(value, 'decode', [...COMMON, 'ids', 'mode', 'count']);
    return { kind: 'decode', ids: ids(of), mode: mode(of), count: count(of['count'], 'count') };
  },
  trace(value) {
    const of = fields(value, 'trace', [...COMMON, 'ids', 'mode', 'nodes', 'overwrite']);
    return {
      kind: 'trace',
      ids: ids(of),
      mode: mode(of),
      nodes: text(of['nodes'], 'nodes'),
      overwrite: list(of['overwrite'], 'overwrite', nodeValues),
    };
  },
};

/** @throws BridgeError BRIDGE_BAD_MESSAGE */
export function parseRequest(message: unknown): Request {
  if (typeof message !== 'object' || message === null) throw badMessage('a request is no object');
  const { kind, id } = message as Fields;
  const known = oneOf(kind, 'kind', Object.keys(REQUESTS) as RequestKind[]);
  return { ...REQUESTS[known](message), id: count(id, 'id') };
}

const RESULTS: { readonly [Kind in RequestKind]: (value: unknown) => Results[Kind] } = {
  open(value) {
    const of = fields(value, 'result', ['llama', 'ggml', 'ggmlCommit', 'systemInfo']);
    return {
      llama: textOrNull(of['llama'], 'llama'),
      ggml: textOrNull(of['ggml'], 'ggml'),
      ggmlCommit: textOrNull(of['ggmlCommit'], 'ggmlCommit'),
      systemInfo: text(of['systemInfo'], 'systemInfo'),
    };
  },
  load(value) {
    const vocabSize = count(fields(value, 'result', ['vocabSize'])['vocabSize'], 'vocabSize');
    if (vocabSize === 0) throw badMessage('the vocabulary is empty');
    return { vocabSize };
  },
  tokenize: (value) => ({ ids: list(fields(value, 'result', ['ids'])['ids'], 'ids', count) }),
  evaluate: (value) => fields(value, 'result', []),
  decode: (value) => ({ ids: list(fields(value, 'result', ['ids'])['ids'], 'ids', count) }),
  trace: (value) => ({ overwritten: count(fields(value, 'result', ['overwritten'])['overwritten'], 'overwritten') }),
};

function itemHeader(value: unknown, length: number): ItemHeader {
  if (typeof value !== 'object' || value === null) throw badMessage('the header of an item is no object');
  if ((value as Fields)['kind'] === 'row') {
    const of = fields(value, 'row', ['kind', 'position']);
    return { kind: 'row', position: count(of['position'], 'position') };
  }
  const of = fields(value, 'node', ['kind', 'name', 'occurrence', 'step', 'op', 'shape']);
  oneOf(of['kind'], 'kind', ['node']);
  const shape = list(of['shape'], 'shape', count);
  if (shape.length === 0 || shape.length > 4 || shape.reduce((product, size) => product * size, 1) !== length) {
    throw badMessage(`a node of shape ${shape.join('x')} has not ${length} values`);
  }
  return {
    kind: 'node',
    name: text(of['name'], 'name'),
    occurrence: count(of['occurrence'], 'occurrence'),
    step: count(of['step'], 'step'),
    op: text(of['op'], 'op'),
    shape,
  };
}

/** An array of an answer, complete. */
export interface ReceivedItem {
  readonly header: ItemHeader;
  readonly values: Float32Array<ArrayBuffer>;
}

/** One answer on the parent's side: takes messages as they come and refuses whatever is out of order. */
export class AnswerReader<Kind extends RequestKind> {
  readonly #kind: Kind;
  readonly #id: number;
  readonly #onItem: (item: ReceivedItem) => void;
  readonly #accepts: (header: ItemHeader, length: number) => boolean;
  readonly #digest = new AnswerDigest();
  #ended = false;
  #open: { readonly header: ItemHeader; readonly values: Float32Array<ArrayBuffer>; filled: number } | undefined;

  /** @param accepts - whether such an item may be part of the answer, asked before memory is given to it */
  constructor(
    kind: Kind,
    id: number,
    accepts: (header: ItemHeader, length: number) => boolean,
    onItem: (item: ReceivedItem) => void,
  ) {
    this.#kind = kind;
    this.#id = id;
    this.#accepts = accepts;
    this.#onItem = onItem;
  }

  /**
   * @returns the result, when the answer is whole
   * @throws BridgeError BRIDGE_BAD_MESSAGE, or what the child reports
   */
  take(message: unknown): Results[Kind] | undefined {
    if (typeof message !== 'object' || message === null) throw badMessage('a reply is no object');
    const { type, id } = message as Fields;
    if (this.#ended) throw badMessage('a reply comes after the end');
    if (id !== this.#id) throw badMessage(`a reply to request ${String(id)} came during request ${this.#id}`);
    switch (oneOf(type, 'type', ['item', 'part', 'done', 'failed'])) {
      case 'item':
        this.#takeItem(fields(message, 'item', ['type', 'id', 'index', 'header', 'length']));
        return undefined;
      case 'part':
        this.#takePart(fields(message, 'part', ['type', 'id', 'index', 'offset', 'values']));
        return undefined;
      case 'done':
        return this.#takeDone(fields(message, 'done', ['type', 'id', 'result', 'items', 'values', 'sha256']));
      case 'failed': {
        const of = fields(message, 'failed', ['type', 'id', 'code', 'message']);
        throw new BridgeError(oneOf(of['code'], 'code', CHILD_CODES), text(of['message'], 'message'));
      }
    }
  }

  #takeItem(of: Fields): void {
    if (this.#open !== undefined) throw badMessage('an item begins before the one before it is complete');
    if (of['index'] !== this.#digest.items) throw badMessage(`item ${String(of['index'])} is out of order`);
    const length = count(of['length'], 'length', MAX_ITEM_LENGTH);
    const header = itemHeader(of['header'], length);
    if (length === 0) throw badMessage('an item is empty');
    if (!this.#accepts(header, length)) {
      throw badMessage(`${JSON.stringify(header)} with ${length} values is no part of an answer to ${this.#kind}`);
    }
    this.#digest.item(header, length);
    this.#open = { header, values: new Float32Array(length), filled: 0 };
  }

  #takePart(of: Fields): void {
    const open = this.#open;
    if (open === undefined || of['index'] !== this.#digest.items - 1)
      throw badMessage('a part belongs to no open item');
    const values = floats(of['values'], 'values');
    if (of['offset'] !== open.filled) throw badMessage(`a part is not at offset ${open.filled}`);
    if (values.length === 0 || values.length > Math.min(PART_LENGTH, open.values.length - open.filled)) {
      throw badMessage(`a part of ${values.length} values does not fit`);
    }
    open.values.set(values, open.filled);
    open.filled += values.length;
    this.#digest.part(values);
    if (open.filled < open.values.length) return;
    this.#open = undefined;
    this.#onItem({ header: open.header, values: open.values });
  }

  #takeDone(of: Fields): Results[Kind] {
    if (this.#open !== undefined) throw badMessage('the answer ends within an item');
    this.#ended = true;
    const result = RESULTS[this.#kind](of['result']);
    const { items, values } = this.#digest;
    if (of['items'] !== items || of['values'] !== values || of['sha256'] !== this.#digest.finish(result)) {
      throw badMessage(
        `the answer has ${items} items and ${values} values, the child sent ${String(of['items'])} and ${String(of['values'])} or others`,
      );
    }
    return result;
  }
}

/** One answer on the child's side. */
export class AnswerWriter<Kind extends RequestKind> {
  readonly #kind: Kind;
  readonly #id: number;
  readonly #send: (reply: Reply) => Promise<void>;
  readonly #digest = new AnswerDigest();

  /** @param send - resolves when the message is on its way, so that no more is queued than one array */
  constructor(kind: Kind, id: number, send: (reply: Reply) => Promise<void>) {
    this.#kind = kind;
    this.#id = id;
    this.#send = send;
  }

  async item(header: ItemHeader, values: Float32Array): Promise<void> {
    const index = this.#digest.items;
    this.#digest.item(header, values.length);
    await this.#send({ type: 'item', id: this.#id, index, header, length: values.length });
    for (let offset = 0; offset < values.length; offset += PART_LENGTH) {
      const part = values.subarray(offset, offset + PART_LENGTH);
      this.#digest.part(part);
      await this.#send({ type: 'part', id: this.#id, index, offset, values: part });
    }
  }

  async done(result: Results[Kind]): Promise<void> {
    const { items, values } = this.#digest;
    const checked = RESULTS[this.#kind](result);
    const sha256 = this.#digest.finish(checked);
    await this.#send({ type: 'done', id: this.#id, result: checked, items, values, sha256 });
  }
}
