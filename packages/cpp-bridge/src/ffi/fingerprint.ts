import type { AbiStruct } from '../abi-layouts.ts';
import { BridgeError } from '../errors.ts';
import type { ReferenceLibrary } from '../library.ts';
import { StructBytes } from './struct-bytes.ts';
import type { Symbols } from './symbols.ts';

type ParameterStruct = 'llama_model_params' | 'llama_context_params';

/** Larger than the parameter structs of any release, so that a wrong size shows instead of overwriting memory. */
const BUFFER_BYTES = 4096;
const POISON = [0xa5, 0x5a] as const;

/** What every release has as defaults of both generations; a field that the layout lacks is not compared. */
const DEFAULTS: Readonly<Record<ParameterStruct, Readonly<Record<string, number | bigint>>>> = {
  llama_context_params: {
    n_ctx: 512,
    n_batch: 2048,
    n_ubatch: 512,
    n_seq_max: 1,
    rope_freq_base: 0,
    rope_freq_scale: 0,
    yarn_ext_factor: -1,
    yarn_orig_ctx: 0,
    defrag_thold: -1,
    cb_eval: 0n,
    cb_eval_user_data: 0n,
    type_k: 1,
    type_v: 1,
    abort_callback: 0n,
    embeddings: 0,
    offload_kqv: 1,
  },
  llama_model_params: {
    main_gpu: 0,
    tensor_split: 0n,
    progress_callback: 0n,
    progress_callback_user_data: 0n,
    kv_overrides: 0n,
    vocab_only: 0,
    check_tensors: 0,
  },
};

/** Default parameters of both structs, as the library fills them. */
export interface DefaultParameters {
  readonly model: StructBytes;
  readonly context: StructBytes;
}

/**
 * Asks the library for its default parameters and compares them with the layouts before anything is called that would
 * read or write at a wrong offset.
 *
 * The functions return a struct by value. On x86-64 System V a caller passes a hidden pointer for it, so they are called
 * with a buffer of ours, twice, poisoned with two patterns: the bytes that change are the struct's real size. It cannot
 * see two fields with equal defaults exchanged; the known-answer model would.
 *
 * @throws BridgeError BRIDGE_ABI_MISMATCH, BRIDGE_MISSING_SYMBOL, BRIDGE_UNSUPPORTED
 */
export function checkFingerprint(symbols: Symbols, { layouts }: ReferenceLibrary): DefaultParameters {
  if (process.arch !== 'x64' || process.platform === 'win32') {
    throw new BridgeError(
      'BRIDGE_UNSUPPORTED',
      `The struct layouts cannot be verified on ${process.platform}-${process.arch}: only x86-64 System V is supported.`,
    );
  }
  return {
    model: defaultsOf(symbols, 'llama_model_params', layouts.llama_model_params),
    context: defaultsOf(symbols, 'llama_context_params', layouts.llama_context_params),
  };
}

function defaultsOf(symbols: Symbols, name: ParameterStruct, layout: AbiStruct): StructBytes {
  const fill = symbols.require<[Uint8Array], void>(name.replace(/_params$/, '_default_params'), 'void *', ['void *']);
  const [first, second] = POISON.map((pattern) => {
    const buffer = new Uint8Array(BUFFER_BYTES).fill(pattern);
    fill(buffer);
    return buffer;
  }) as [Uint8Array, Uint8Array];
  // A byte of padding may keep the poison; ours then have zero there.
  const written = first.map((byte, at) => (byte === POISON[0] && second[at] === POISON[1] ? 0 : byte));
  const size = first.findLastIndex((byte, at) => !(byte === POISON[0] && second[at] === POISON[1])) + 1;
  if (!(size <= layout.sizeBytes && size > layout.sizeBytes - 8)) {
    throw mismatch(name, `the library writes ${size} bytes, the layout has ${layout.sizeBytes}`);
  }
  const defaults = new StructBytes(layout, written);
  for (const [field, expected] of Object.entries(DEFAULTS[name])) {
    if (!defaults.has(field)) continue;
    const value = defaults.get(field);
    if (value !== expected) throw mismatch(name, `${field} is ${value} by default, not ${expected}`);
  }
  return defaults;
}

function mismatch(name: string, what: string): BridgeError {
  return new BridgeError(
    'BRIDGE_ABI_MISMATCH',
    `The layout of ${name} is not the library's: ${what}. Headers and library must be of one build.`,
  );
}
