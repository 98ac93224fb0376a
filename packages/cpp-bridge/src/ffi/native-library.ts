import koffi from 'koffi';
import type { AbiStruct } from '../abi-layouts.ts';
import { BridgeError } from '../errors.ts';
import type { ReferenceLibrary } from '../library.ts';
import type { ContextSettings, LibraryVersion } from '../protocol.ts';
import { checkFingerprint, type DefaultParameters } from './fingerprint.ts';
import { LibraryLog } from './library-log.ts';
import { StructBytes } from './struct-bytes.ts';
import { type CType, type Native, Symbols } from './symbols.ts';

/** An address in the child's memory; 0n is NULL. */
export type Address = bigint | null;

export interface NativeModel {
  readonly model: Address;
  readonly vocab: Address;
  readonly vocabSize: number;
}

/** Called for each node, first to ask whether it is wanted, then, if so, after it was computed. */
export type OnNode = (tensor: Address, ask: boolean) => boolean;

export interface NativeContext {
  readonly context: Address;
  free(): void;
}

/** ggml's number of the type F32, and of F16: `type_k` and `type_v` take the same. */
const GGML_TYPES = { f32: 0, f16: 1 } as const;
/** `LLAMA_FLASH_ATTN_TYPE_DISABLED`; in the old API the field is a bool. */
const FLASH_ATTENTION_OFF = 0;

type StructArgument = { words: BigUint64Array };

/**
 * A struct by value as an opaque run of 64-bit words. All of them have more than 16 bytes, so that the calling
 * convention passes them in memory, whatever their fields are.
 */
function byValue({ sizeBytes }: AbiStruct): CType {
  return koffi.struct({ words: koffi.array('uint64', sizeBytes / 8, 'Typed') });
}

function argumentOf({ bytes }: StructBytes): StructArgument {
  return { words: new BigUint64Array(bytes.buffer) };
}

/**
 * llama.cpp's C API behind one set of methods for both generations. The constructor loads the library and verifies the
 * struct layouts; nothing that takes a struct is called before.
 */
export class NativeLibrary {
  readonly log: LibraryLog;
  readonly #symbols: Symbols;
  readonly #library: ReferenceLibrary;
  readonly #defaults: DefaultParameters;
  readonly #modelParameters: CType;
  readonly #contextParameters: CType;
  readonly #functions: Functions;
  /** The library has only the addresses of a batch's arrays: this keeps the garbage collector from them during a call. */
  readonly #inCall: ArrayBufferView[] = [];

  /** @throws BridgeError BRIDGE_BAD_LIBRARY, BRIDGE_MISSING_SYMBOL, BRIDGE_WRONG_LIBRARY, BRIDGE_ABI_MISMATCH, BRIDGE_REFUSED */
  constructor(library: ReferenceLibrary) {
    const symbols = new Symbols(library);
    requireBackend(symbols, library);
    this.#library = library;
    this.#symbols = symbols;
    this.log = new LibraryLog(symbols);
    this.#defaults = checkFingerprint(symbols, library);
    this.#modelParameters = byValue(library.layouts.llama_model_params);
    this.#contextParameters = byValue(library.layouts.llama_context_params);
    this.#functions = bindFunctions(symbols, library, this.#modelParameters, this.#contextParameters);
    this.#loadCpuBackend();
    symbols.require<[], void>('llama_backend_init', 'void', [])();
  }

  get symbols(): Symbols {
    return this.#symbols;
  }

  version(): LibraryVersion {
    const text = (name: string) => this.#symbols.find<[], string | null>(name, 'str', [])?.() ?? null;
    return {
      llama: text('llama_version'),
      ggml: text('ggml_version'),
      ggmlCommit: text('ggml_commit'),
      systemInfo: text('llama_print_system_info') ?? '',
    };
  }

  /** @throws BridgeError BRIDGE_REFUSED */
  loadModel(path: string): NativeModel {
    const parameters = copyOf(this.#library.layouts.llama_model_params, this.#defaults.model);
    parameters.set('n_gpu_layers', 0);
    // Other layouts of the weights in memory have other kernels, with another order of sums.
    if (parameters.has('use_extra_bufts')) parameters.set('use_extra_bufts', 0);
    // The old generation refuses its own ternary types here.
    if (this.#library.generation === 'new') parameters.set('check_tensors', 1);
    const model = this.#functions.loadModel(path, argumentOf(parameters));
    if (model === null) throw this.#refused(`${path} does not load`);
    const vocab = this.#functions.vocab === undefined ? model : this.#functions.vocab(model);
    return { model, vocab, vocabSize: this.#functions.vocabSize(vocab) };
  }

  freeModel({ model }: NativeModel): void {
    this.#functions.freeModel(model);
  }

  /** @throws BridgeError BRIDGE_REFUSED */
  createContext({ model }: NativeModel, settings: ContextSettings, onNode?: OnNode): NativeContext {
    const { layouts } = this.#library;
    const parameters = copyOf(layouts.llama_context_params, this.#defaults.context);
    const values: Record<string, number> = {
      n_ctx: settings.contextLength,
      n_batch: settings.microBatch,
      n_ubatch: settings.microBatch,
      n_threads: settings.threads,
      n_threads_batch: settings.threads,
      type_k: GGML_TYPES[settings.keys],
      type_v: GGML_TYPES[settings.values],
    };
    for (const [name, value] of Object.entries(values)) parameters.set(name, value);
    const flash = ['flash_attn_type', 'flash_attn'].find((name) => parameters.has(name));
    if (flash === undefined) throw new BridgeError('BRIDGE_NO_LAYOUT', 'The layout has no field for flash attention.');
    parameters.set(flash, FLASH_ATTENTION_OFF);
    const callback = onNode === undefined ? undefined : koffi.register(onNode, koffi.pointer(NODE_CALLBACK));
    if (callback !== undefined) parameters.set('cb_eval', callback);
    const context = this.#functions.newContext(model, argumentOf(parameters));
    if (context === null) throw this.#refused('no context can be made');
    return {
      context,
      free: () => {
        this.#functions.freeContext(context);
        if (callback !== undefined) koffi.unregister(callback);
      },
    };
  }

  clear({ context }: NativeContext): void {
    this.#functions.clear(context);
  }

  /** @throws BridgeError BRIDGE_REFUSED */
  tokenize({ vocab }: NativeModel, text: string, options: { parseSpecial: boolean; addSpecial: boolean }): number[] {
    const utf8 = new TextEncoder().encode(text);
    // No token is empty, and a few are added around the text.
    const ids = new Int32Array(utf8.length + 16);
    const count = this.#functions.tokenize(
      vocab,
      utf8,
      utf8.length,
      ids,
      ids.length,
      options.addSpecial,
      options.parseSpecial,
    );
    if (!(count >= 0 && count <= ids.length)) throw this.#refused(`llama_tokenize returned ${count}`);
    return [...ids.subarray(0, count)];
  }

  /**
   * One call of llama_decode. `ids` are at most one micro-batch.
   *
   * @throws BridgeError BRIDGE_REFUSED
   */
  decode({ context }: NativeContext, ids: readonly number[], position: number, wanted: 'all' | 'last' | 'none'): void {
    const count = ids.length;
    const token = Int32Array.from(ids);
    const positions = Int32Array.from(ids, (_, index) => position + index);
    const sequenceCounts = new Int32Array(count).fill(1);
    const sequence = new Int32Array(1);
    const sequences = new BigUint64Array(count).fill(koffi.address(sequence));
    const logits = new Int8Array(count).fill(wanted === 'all' ? 1 : 0);
    if (wanted === 'last') logits[count - 1] = 1;
    const batch = new StructBytes(this.#library.layouts.llama_batch);
    batch.set('n_tokens', count);
    const arrays = { token, pos: positions, n_seq_id: sequenceCounts, seq_id: sequences, logits };
    for (const [name, values] of Object.entries(arrays)) batch.set(name, koffi.address(values));
    this.#inCall.push(...Object.values(arrays), sequence);
    let status: number;
    try {
      status = this.#functions.decode(context, argumentOf(batch));
    } finally {
      this.#inCall.length = 0;
    }
    if (status !== 0) throw this.#refused(`llama_decode returned ${status} for ${count} ids at position ${position}`);
  }

  /** A copy of the logits of the batch's token `index`. @throws BridgeError BRIDGE_REFUSED */
  logits({ context }: NativeContext, index: number, vocabSize: number): Float32Array<ArrayBuffer> {
    const row = this.#functions.logits(context, index);
    if (row === null) throw this.#refused(`there are no logits for token ${index} of the batch`);
    return new Float32Array(koffi.view(row, 4 * vocabSize)).slice();
  }

  #loadCpuBackend(): void {
    const { cpu } = this.#library.files;
    if (cpu === undefined) return;
    const load = this.#symbols.require<[string], Address>('ggml_backend_load', 'void *', ['str']);
    if (load(cpu) === null) {
      throw this.#refused(`the CPU backend ${cpu} does not load: this machine may lack its instructions`);
    }
  }

  #refused(what: string): BridgeError {
    const log = this.log.tail();
    return new BridgeError('BRIDGE_REFUSED', `The library refused: ${what}.${log === '' ? '' : ` It says: ${log}`}`);
  }
}

const NODE_CALLBACK = koffi.proto('bool', ['void *', 'bool', 'void *']);

function copyOf(layout: AbiStruct, { bytes }: StructBytes): StructBytes {
  return new StructBytes(layout, bytes);
}

function requireBackend(symbols: Symbols, { backend, generation, origin }: ReferenceLibrary): void {
  // The product of I2_S weights and int8 activations, which only bitnet.cpp has.
  const isBitnet = symbols.has('ggml_vec_dot_i2_i8_s');
  if (isBitnet !== (backend === 'bitnet')) {
    const is = isBitnet ? 'a bitnet.cpp (it exports ggml_vec_dot_i2_i8_s)' : 'no bitnet.cpp (no ggml_vec_dot_i2_i8_s)';
    throw new BridgeError('BRIDGE_WRONG_LIBRARY', `${origin} is ${is}, but was given as backend ${backend}.`);
  }
  const isNew = symbols.has('llama_init_from_model');
  if (isNew !== (generation === 'new')) {
    throw new BridgeError(
      'BRIDGE_WRONG_LIBRARY',
      `${origin} has the ${isNew ? 'new' : 'old'} API, but was given as one with the ${generation} API.`,
    );
  }
}

interface Functions {
  readonly loadModel: Native<[string, StructArgument], Address>;
  readonly freeModel: Native<[Address], void>;
  readonly newContext: Native<[Address, StructArgument], Address>;
  readonly freeContext: Native<[Address], void>;
  /** Absent in the old generation, where the model is its own vocabulary. */
  readonly vocab: Native<[Address], Address> | undefined;
  readonly vocabSize: Native<[Address], number>;
  readonly clear: (context: Address) => void;
  readonly tokenize: Native<[Address, Uint8Array, number, Int32Array, number, boolean, boolean], number>;
  readonly decode: Native<[Address, StructArgument], number>;
  readonly logits: Native<[Address, number], Address>;
}

/** What differs between the generations is here and nowhere else. */
function bindFunctions(
  symbols: Symbols,
  { generation, layouts }: ReferenceLibrary,
  modelParameters: CType,
  contextParameters: CType,
): Functions {
  const isNew = generation === 'new';
  const tokenizeTypes: CType[] = ['void *', 'void *', 'int32_t', 'void *', 'int32_t', 'bool', 'bool'];
  return {
    loadModel: symbols.require(isNew ? 'llama_model_load_from_file' : 'llama_load_model_from_file', 'void *', [
      'str',
      modelParameters,
    ]),
    freeModel: symbols.require(isNew ? 'llama_model_free' : 'llama_free_model', 'void', ['void *']),
    newContext: symbols.require(isNew ? 'llama_init_from_model' : 'llama_new_context_with_model', 'void *', [
      'void *',
      contextParameters,
    ]),
    freeContext: symbols.require('llama_free', 'void', ['void *']),
    vocab: isNew ? symbols.require('llama_model_get_vocab', 'void *', ['void *']) : undefined,
    vocabSize: symbols.require(isNew ? 'llama_vocab_n_tokens' : 'llama_n_vocab', 'int32_t', ['void *']),
    clear: isNew ? clearMemory(symbols) : symbols.require('llama_kv_cache_clear', 'void', ['void *']),
    tokenize: symbols.require('llama_tokenize', 'int32_t', tokenizeTypes),
    decode: symbols.require('llama_decode', 'int32_t', ['void *', byValue(layouts.llama_batch)]),
    logits: symbols.require('llama_get_logits_ith', 'void *', ['void *', 'int32_t']),
  };
}

function clearMemory(symbols: Symbols): (context: Address) => void {
  const memory = symbols.require<[Address], Address>('llama_get_memory', 'void *', ['void *']);
  const clear = symbols.require<[Address, boolean], void>('llama_memory_clear', 'void', ['void *', 'bool']);
  return (context) => clear(memory(context), true);
}
