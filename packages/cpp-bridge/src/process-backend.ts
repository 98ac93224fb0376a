import type { Backend, BackendCapabilities, BackendInfo, BackendRow, TraceOptions } from './backend.ts';
import { BridgeError } from './errors.ts';
import type { ReferenceProcess } from './process.ts';
import { badMessage, EVALUATION_MODES, type EvaluationMode, type ItemHeader, type ReceivedItem } from './protocol.ts';

/** A backend over a child process in which the model is loaded. What the child sends is checked for what it must be. */
export class ProcessBackend implements Backend {
  readonly info: BackendInfo;
  readonly capabilities: BackendCapabilities;
  readonly #process: ReferenceProcess;

  constructor(process: ReferenceProcess, info: BackendInfo, capabilities: BackendCapabilities) {
    this.#process = process;
    this.info = info;
    this.capabilities = capabilities;
  }

  async tokenize(
    text: string,
    { parseSpecial, signal, ...unknown }: Parameters<Backend['tokenize']>[1],
  ): Promise<readonly number[]> {
    refuseUnknownOptions(unknown);
    const { ids } = await this.#process.request<'tokenize'>(
      { kind: 'tokenize', text, parseSpecial, addSpecial: true },
      { signal },
    );
    const outside = ids.find((id) => !(id < this.info.model.vocabSize));
    if (outside !== undefined) throw badMessage(`id ${outside} is outside of the vocabulary`);
    return ids;
  }

  async evaluate(
    ids: readonly number[],
    { mode, onLogits, signal, ...unknown }: Parameters<Backend['evaluate']>[1],
  ): Promise<void> {
    refuseUnknownOptions(unknown);
    this.#checkPrompt(ids, mode, 0);
    const rows = new ExpectedRows(expectedPositions(mode, ids.length), this.info.model.vocabSize, onLogits);
    await this.#process.request<'evaluate'>({ kind: 'evaluate', ids, mode }, { ...rows.options, signal });
    rows.requireAll();
  }

  async decode(
    ids: readonly number[],
    { mode, count, onLogits, signal, ...unknown }: Parameters<Backend['decode']>[1],
  ): Promise<readonly number[]> {
    refuseUnknownOptions(unknown);
    if (!Number.isInteger(count) || !(count > 0)) throw new RangeError(`count is ${count}; it must be 1 or more.`);
    this.#checkPrompt(ids, mode, count - 1);
    const greedy: number[] = [];
    const positions = Array.from({ length: count }, (_, step) => ids.length - 1 + step);
    const rows = new ExpectedRows(positions, this.info.model.vocabSize, (row) => {
      greedy.push(greedyId(row));
      onLogits?.(row);
    });
    const result = await this.#process.request<'decode'>(
      { kind: 'decode', ids, mode, count },
      { ...rows.options, signal },
    );
    rows.requireAll();
    const wrong = greedy.findIndex((id, step) => result.ids[step] !== id);
    if (wrong >= 0 || result.ids.length !== count) {
      throw badMessage(
        `the child chose ${result.ids[wrong] ?? 'no id'} where its logits are largest at ${greedy[wrong]}`,
      );
    }
    return result.ids;
  }

  async trace(
    ids: readonly number[],
    { mode, onNode, nodes, overwrite = [], signal, ...unknown }: TraceOptions,
  ): Promise<void> {
    refuseUnknownOptions(unknown);
    this.#checkPrompt(ids, mode, 0);
    if (!this.capabilities.hooks && overwrite.length > 0) {
      throw new BridgeError('BRIDGE_UNSUPPORTED', `Backend ${this.info.backend} cannot overwrite nodes.`);
    }
    const next = new Map<string, number>();
    // Without flags: a global expression would remember where it stopped.
    const names = new RegExp(nodes?.source ?? '');
    const { overwritten } = await this.#process.request<'trace'>(
      { kind: 'trace', ids, mode, nodes: names.source, overwrite },
      {
        signal,
        accepts: (header) => {
          if (header.kind !== 'node' || !names.test(header.name)) return false;
          const key = JSON.stringify([header.step, header.name]);
          const occurrence = next.get(key) ?? 0;
          next.set(key, occurrence + 1);
          return header.occurrence === occurrence;
        },
        onItem: ({ header, values }) => {
          if (header.kind !== 'node') return;
          const { name, occurrence, step, op, shape } = header;
          onNode({ name, occurrence, step, op, shape, values });
        },
      },
    );
    if (overwritten !== overwrite.length)
      throw badMessage(`${overwritten} of ${overwrite.length} nodes were overwritten`);
  }

  async dispose(): Promise<void> {
    await this.#process.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #checkPrompt(ids: readonly number[], mode: EvaluationMode, generated: number): void {
    if (!EVALUATION_MODES.includes(mode))
      throw new TypeError(`mode is ${String(mode)}, none of ${EVALUATION_MODES.join(', ')}.`);
    const { vocabSize } = this.info.model;
    const { contextLength } = this.info.context;
    const wrong = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
    if (wrong !== undefined) throw new RangeError(`Id ${wrong} is outside of the vocabulary, 0 to ${vocabSize - 1}.`);
    if (ids.length === 0) throw new RangeError('There are no ids to evaluate.');
    if (!(ids.length + generated <= contextLength)) {
      throw new RangeError(`${ids.length} ids and ${generated} more do not fit into the context of ${contextLength}.`);
    }
  }
}

/** The rows that an answer must have: these positions in this order, no other and none missing. */
class ExpectedRows {
  readonly #positions: readonly number[];
  readonly #vocabSize: number;
  readonly #onRow: (row: BackendRow) => void;
  #received = 0;

  constructor(positions: readonly number[], vocabSize: number, onRow: (row: BackendRow) => void) {
    this.#positions = positions;
    this.#vocabSize = vocabSize;
    this.#onRow = onRow;
  }

  readonly options = {
    accepts: (header: ItemHeader, length: number): boolean =>
      header.kind === 'row' && header.position === this.#positions[this.#received] && length === this.#vocabSize,
    onItem: ({ values }: ReceivedItem): void => {
      const position = this.#positions[this.#received++]!;
      this.#onRow({ position, values });
    },
  };

  requireAll(): void {
    const [received, expected] = [this.#received, this.#positions.length];
    if (received !== expected) throw badMessage(`${received} rows of logits came, not ${expected}`);
  }
}

function expectedPositions(mode: EvaluationMode, count: number): number[] {
  return mode === 'batch-last' ? [count - 1] : Array.from({ length: count }, (_, position) => position);
}

/** The id that a row stands for, by the rule that the child must follow too. */
function greedyId({ values }: BackendRow): number {
  let best = 0;
  for (let id = 1; id < values.length; id++) if (values[id]! > values[best]!) best = id;
  return best;
}

function refuseUnknownOptions(unknown: object): void {
  const [key] = Object.keys(unknown);
  if (key !== undefined) throw new TypeError(`Unknown option "${key}".`);
}
