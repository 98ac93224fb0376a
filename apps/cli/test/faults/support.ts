import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type LadderCase, type LadderReport, runLadder, type Side } from '@bittern/crossval';
import { type EvaluationMode, loadModel, type LoadModelOptions, type Model } from '@bittern/engine';
import { type GgufEntry, type GgufTensorData, openGguf, writeGguf } from '@bittern/gguf-parser';
import { loadKernels, type WasmKernels } from '@bittern/kernels';
import { type Tokenizer, tokenizerFromGguf } from '@bittern/tokenizer';
import { engineSide, type EngineSide } from '../../src/engine-side.ts';

export type ModelName = 'tiny-random' | 'tiny-random-bitnet';

const bytesOf = (name: ModelName): Buffer =>
  readFileSync(new URL(`../../../../tools/fixtures/${name}/${name}.i2_s.gguf`, import.meta.url));

export const MODELS: Readonly<Record<ModelName, Uint8Array>> = {
  'tiny-random': bytesOf('tiny-random'),
  'tiny-random-bitnet': bytesOf('tiny-random-bitnet'),
};

/** What a fault changes. Everything that it does not change is the engine's own. */
export interface Fault {
  readonly name: string;
  /** Default: tiny-random. */
  readonly model?: ModelName;
  /** Default: batch-all. */
  readonly mode?: EvaluationMode;
  /** Default: {@link PROMPT}. */
  readonly prompt?: string;
  /** Edits the model's tensors and metadata; the file is then written anew. */
  readonly file?: (parts: ModelParts) => void;
  /** Edits both sides' model: what the fault needs to show. */
  readonly both?: (parts: ModelParts) => void;
  readonly load?: Partial<LoadModelOptions>;
  /** Wraps operations of the kernels' table; `plain` are those that were there. */
  readonly kernels?: (plain: WasmKernels) => Partial<WasmKernels>;
  /** Patches our session, as its side. */
  readonly session?: (side: EngineSide, model: Model) => Partial<Side>;
  readonly tokenizer?: (ids: readonly number[], tokenizer: Tokenizer, text: string) => readonly number[];
  readonly rung: string;
  /** The first differing operation, `Qcur-0#1` with its occurrence; null where none differs. */
  readonly tap: string | null;
  readonly cause: string;
}

export const PROMPT = 'The capital of France is';

export interface ModelParts {
  readonly metadata: GgufEntry[];
  readonly tensors: Map<string, GgufTensorData & { data: Uint8Array }>;
}

/** Opens a model into its parts, lets them be changed, and writes a new file. */
async function rewritten(name: ModelName, change: (parts: ModelParts) => void): Promise<Uint8Array> {
  const gguf = await openGguf(MODELS[name]);
  const metadata = Array.from(gguf.metadata.keys(), (key): GgufEntry => {
    return [key, gguf.metadata.typeOf(key)!, gguf.metadata.get(key) as GgufEntry[2]];
  });
  const tensors = new Map<string, GgufTensorData & { data: Uint8Array }>();
  for (const { name: tensor, type, shape } of gguf.tensors.values()) {
    // A copy: the model's own bytes are shared by all faults.
    const data = Uint8Array.from(await gguf.readTensor(tensor));
    tensors.set(tensor, { name: tensor, type, shape, data });
  }
  change({ metadata, tensors });
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeGguf({ metadata, tensors: tensors.values(), dialect: 'bitnet.cpp' }))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** An F32 tensor as numbers, to change in place. */
export function floatsIn({ tensors }: ModelParts, name: string): Float32Array {
  const { data } = tensors.get(name)!;
  return new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
}

/** An F16 tensor as bits, to change in place. */
export function halvesIn({ tensors }: ModelParts, name: string): Uint16Array {
  const { data } = tensors.get(name)!;
  return new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
}

/** Multiplies the scale behind an I2_S tensor's codes. */
export function scaleTensor({ tensors }: ModelParts, name: string, factor: number): void {
  const { data } = tensors.get(name)!;
  const view = new DataView(data.buffer, data.byteOffset);
  const at = data.byteLength - 32;
  view.setFloat32(at, view.getFloat32(at, true) * factor, true);
}

export function swapTensors({ tensors }: ModelParts, a: string, b: string): void {
  const [first, second] = [tensors.get(a)!, tensors.get(b)!];
  [first.data, second.data] = [second.data, first.data];
}

/** A side of the engine over these bytes, with whatever the fault changes. */
async function sideOf(bytes: Uint8Array, options: LoadModelOptions, fault?: Fault): Promise<Side & Disposable> {
  const kernels = fault?.kernels;
  let given = options;
  if (kernels !== undefined) {
    const plain = await loadKernels();
    // The table's getters (scratch) must stay.
    const wrapped = Object.defineProperties({}, Object.getOwnPropertyDescriptors(plain)) as WasmKernels;
    Object.assign(wrapped, kernels(plain));
    given = { ...options, kernels: wrapped };
  }
  const model = await loadModel(bytes, given);
  const tokenizer = tokenizerFromGguf(model.gguf.metadata);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const plain = engineSide(model, tokenizer, digest);
  const patched = fault?.session?.(plain, model) ?? {};
  const tokenize: Pick<Side, 'tokenize'> | undefined = fault?.tokenizer && {
    tokenize: async (text, { parseSpecial }) =>
      fault.tokenizer!(tokenizer.encode(text, { parseSpecial }), tokenizer, text),
  };
  return {
    ...plain,
    ...patched,
    ...tokenize,
    [Symbol.dispose]() {
      plain[Symbol.dispose]();
      model.dispose();
    },
  };
}

/** Runs the ladder, exact, of a faulted engine against a whole one. */
export async function climbWith(fault: Fault): Promise<LadderReport> {
  const { model = 'tiny-random', mode = 'batch-all', prompt = PROMPT } = fault;
  const reference = fault.both === undefined ? MODELS[model] : await rewritten(model, fault.both);
  const ours =
    fault.file === undefined
      ? reference
      : await rewritten(model, (parts) => {
          fault.both?.(parts);
          fault.file!(parts);
        });
  using theirs = await sideOf(reference, { threads: 1 });
  using mine = await sideOf(ours, { threads: 1, ...fault.load }, fault);
  const ids = await theirs.tokenize(prompt, { parseSpecial: true });
  const tokenizer = tokenizerFromGguf((await openGguf(reference)).metadata);
  const ladderCase: LadderCase = { id: mode, text: prompt, parseSpecial: true, ids, mode, greedyCount: 6, trace: true };
  return await runLadder({
    ours: mine,
    reference: theirs,
    cases: [ladderCase],
    exact: true,
    sameModel: fault.file === undefined,
    piece: (id) => tokenizer.piece(id),
  });
}

export interface Unfaulted {
  readonly model: ModelName;
  readonly mode: EvaluationMode;
  readonly threads: number;
  readonly kernels: 'auto' | 'simd128';
  readonly numerics: 'avx2' | 'avx512';
  readonly prompt: string;
}

/** The ladder of a whole engine against another whole one of one thread and plain SIMD. */
export async function climbUnfaulted({
  model,
  mode,
  threads,
  kernels,
  numerics,
  prompt,
}: Unfaulted): Promise<LadderReport> {
  const bytes = MODELS[model];
  using theirs = await sideOf(bytes, { threads: 1, kernels: 'simd128', numerics });
  using mine = await sideOf(bytes, { threads, kernels, numerics });
  const ids = await theirs.tokenize(prompt, { parseSpecial: true });
  const cases: LadderCase[] = [
    { id: mode, text: prompt, parseSpecial: true, ids, mode, greedyCount: 3, trace: true },
    // First logits need a mode that gives them.
    ...(mode === 'batch-last'
      ? [
          {
            id: 'first',
            text: prompt,
            parseSpecial: true,
            ids,
            mode: 'batch-all' as const,
            greedyCount: 1,
            trace: false,
          },
        ]
      : []),
  ];
  return await runLadder({ ours: mine, reference: theirs, cases, exact: true });
}
