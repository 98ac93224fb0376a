import { BridgeError } from './errors.ts';
import { GraphNodes } from './ffi/graph-node.ts';
import { type NativeContext, NativeLibrary, type NativeModel } from './ffi/native-library.ts';
import type { GraphHooks } from './hooks.ts';
import { GraphObserver } from './graph-observer.ts';
import type { ReferenceLibrary } from './library.ts';
import type { AnswerWriter, ContextSettings, EvaluationMode, Request, RequestBody, RequestKind } from './protocol.ts';

type Body<Kind extends RequestKind> = Extract<RequestBody, { readonly kind: Kind }>;
/** What becomes of a token that was evaluated. */
type OnEvaluated = (row: Float32Array<ArrayBuffer>, position: number) => Promise<void>;

/** A model with its contexts: one that only computes, one whose graph is watched. */
interface Loaded {
  readonly model: NativeModel;
  readonly settings: ContextSettings;
  readonly hooks: GraphHooks;
  plain: NativeContext | undefined;
  observed: { readonly context: NativeContext; readonly observer: GraphObserver } | undefined;
}

/** The child's side of the requests. */
export class WorkerSession {
  #native: NativeLibrary | undefined;
  #library: ReferenceLibrary | undefined;
  #loaded: Loaded | undefined;

  async answer(request: Request, writer: AnswerWriter<RequestKind>): Promise<void> {
    switch (request.kind) {
      case 'open':
        return await writer.done(this.#openLibrary(request));
      case 'load':
        return await writer.done(this.#load(request));
      case 'tokenize':
        return await writer.done({
          ids: this.#requireLibrary().tokenize(this.#requireModel().model, request.text, request),
        });
      case 'evaluate':
        await this.#evaluate(request.ids, request.mode, (row, position) => writer.item({ kind: 'row', position }, row));
        return await writer.done({});
      case 'decode':
        return await writer.done({ ids: await this.#decode(request, writer) });
      case 'trace':
        return await writer.done({ overwritten: await this.#trace(request, writer) });
    }
  }

  #openLibrary({ library }: Body<'open'>): ReturnType<NativeLibrary['version']> {
    if (this.#native !== undefined) throw new BridgeError('BRIDGE_BAD_MESSAGE', 'A library is open already.');
    this.#native = new NativeLibrary(library);
    this.#library = library;
    return this.#native.version();
  }

  #load({ model: path, context: settings, hooks }: Body<'load'>): { vocabSize: number } {
    const native = this.#requireLibrary();
    this.#unload();
    const model = native.loadModel(path);
    this.#loaded = { model, settings, hooks, plain: undefined, observed: undefined };
    return { vocabSize: model.vocabSize };
  }

  #unload(): void {
    const loaded = this.#loaded;
    if (loaded === undefined) return;
    this.#loaded = undefined;
    loaded.plain?.free();
    loaded.observed?.context.free();
    this.#requireLibrary().freeModel(loaded.model);
  }

  /** Rows of the wanted positions, in order. Hooks need a watched graph; without them nothing watches. */
  async #evaluate(ids: readonly number[], mode: EvaluationMode, onRow: OnEvaluated): Promise<NativeContext> {
    const { hooks } = this.#requireModel();
    const needsHooks = hooks.reluSquared || hooks.int8Activations;
    const { context, observer } = needsHooks ? this.#observed() : { context: this.#plain(), observer: undefined };
    observer?.begin({ nodes: undefined, overwrite: [] });
    await this.#prefill(context, ids, mode, () => observer?.beginStep(), onRow);
    return context;
  }

  async #decode({ ids, mode, count }: Body<'decode'>, writer: AnswerWriter<RequestKind>): Promise<number[]> {
    const native = this.#requireLibrary();
    const { vocabSize } = this.#requireModel().model;
    let row: Float32Array<ArrayBuffer> | undefined;
    const context = await this.#evaluate(ids, mode, async (values) => void (row = values));
    const greedy: number[] = [];
    for (let position = ids.length; greedy.length < count; position++) {
      if (row === undefined) throw new BridgeError('BRIDGE_REFUSED', 'The prompt gave no logits.');
      await writer.item({ kind: 'row', position: position - 1 }, row);
      const id = greedyId(row, position - 1);
      greedy.push(id);
      if (greedy.length === count) break;
      this.#requireModel().observed?.observer.beginStep();
      native.decode(context, [id], position, 'last');
      row = native.logits(context, -1, vocabSize);
    }
    return greedy;
  }

  async #trace(request: Body<'trace'>, writer: AnswerWriter<RequestKind>): Promise<number> {
    const { context, observer } = this.#observed();
    observer.begin({ nodes: new RegExp(request.nodes), overwrite: request.overwrite });
    const flush = async () => {
      for (const { header, values } of observer.takeNodes()) await writer.item(header, values);
    };
    await this.#prefill(
      context,
      request.ids,
      request.mode,
      async () => {
        await flush();
        observer.beginStep();
      },
      async () => {},
    );
    await flush();
    observer.requireAllOverwritten();
    return request.overwrite.length;
  }

  async #prefill(
    context: NativeContext,
    ids: readonly number[],
    mode: EvaluationMode,
    beforeStep: () => void | Promise<void>,
    onRow: OnEvaluated,
  ): Promise<void> {
    const native = this.#requireLibrary();
    const { model, settings } = this.#requireModel();
    if (ids.length === 0) throw new BridgeError('BRIDGE_REFUSED', 'There are no ids to evaluate.');
    native.clear(context);
    const stepLength = mode === 'sequential' ? 1 : settings.microBatch;
    for (let start = 0; start < ids.length; start += stepLength) {
      const batch = ids.slice(start, start + stepLength);
      const isLast = start + batch.length === ids.length;
      const wanted = mode !== 'batch-last' ? 'all' : isLast ? 'last' : 'none';
      await beforeStep();
      native.decode(context, batch, start, wanted);
      if (wanted === 'none') continue;
      for (let index = wanted === 'all' ? 0 : batch.length - 1; index < batch.length; index++) {
        await onRow(native.logits(context, index, model.vocabSize), start + index);
      }
    }
  }

  #plain(): NativeContext {
    const loaded = this.#requireModel();
    loaded.plain ??= this.#requireLibrary().createContext(loaded.model, loaded.settings);
    return loaded.plain;
  }

  #observed(): { context: NativeContext; observer: GraphObserver } {
    const loaded = this.#requireModel();
    if (loaded.observed === undefined) {
      const native = this.#requireLibrary();
      const nodes = new GraphNodes(native, this.#library!.layouts.ggml_tensor);
      const observer = new GraphObserver(nodes, loaded.hooks);
      const context = native.createContext(loaded.model, loaded.settings, (tensor, ask) => observer.see(tensor, ask));
      loaded.observed = { context, observer };
    }
    return loaded.observed;
  }

  #requireLibrary(): NativeLibrary {
    if (this.#native === undefined) throw new BridgeError('BRIDGE_BAD_MESSAGE', 'No library is open.');
    return this.#native;
  }

  #requireModel(): Loaded {
    if (this.#loaded === undefined) throw new BridgeError('BRIDGE_BAD_MESSAGE', 'No model is loaded.');
    return this.#loaded;
  }
}

/** The largest logit's id, the lowest one on ties. */
function greedyId(row: Float32Array, position: number): number {
  let best = 0;
  for (let id = 0; id < row.length; id++) {
    if (!Number.isFinite(row[id]!)) {
      throw new BridgeError(
        'BRIDGE_REFUSED',
        `The logits of position ${position} are not finite: ${row[id]} at ${id}.`,
      );
    }
    if (row[id]! > row[best]!) best = id;
  }
  return best;
}
