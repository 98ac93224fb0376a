import type { AbiLayouts } from './abi-layouts.ts';

/**
 * The two generations of llama.cpp's C API. `new` has `llama_model_load_from_file`, `llama_init_from_model` and
 * `llama_get_memory`; `old`, that of bitnet.cpp, `llama_load_model_from_file`, `llama_new_context_with_model` and
 * `llama_kv_cache_clear`.
 */
export type ApiGeneration = 'old' | 'new';

export type LibraryBackend = 'llama' | 'bitnet';

/** Everything a child process needs to load a reference. All paths are absolute. */
export interface ReferenceLibrary {
  readonly backend: LibraryBackend;
  /** What a person would call it: `LLAMA_CPP_DIR` and its folder, or the npm package and its version. */
  readonly origin: string;
  readonly generation: ApiGeneration;
  readonly files: {
    readonly llama: string;
    /** libggml. Where it is split, `ggmlBase` is the part with the tensor functions. */
    readonly ggml: string;
    readonly ggmlBase?: string;
    /** The one CPU backend that is loaded, where they are files of their own. */
    readonly cpu?: string;
  };
  /** Name of that CPU backend, for example `haswell`. */
  readonly cpuVariant?: string;
  /**
   * What compilers left in the library that computes, such as `Debian clang version 19.1.7` or `GCC: (Debian 12.2.0-14)
   * 12.2.0`. Clang's have GCC's name, too, where the system's start files were compiled by it.
   */
  readonly compilers: readonly string[];
  readonly layouts: AbiLayouts;
}

/**
 * What to know about the bits of a bitnet.cpp by its compiler; undefined if nothing. GCC contracts a product and a sum to a
 * fused multiply-add, also where an activation is rounded to int8 (numerics, section 3): an exact tie then goes another way
 * than in builds of Clang, which upstream asks for and Bittern reproduces.
 */
export function compilerWarning({ backend, compilers, origin }: ReferenceLibrary): string | undefined {
  if (backend !== 'bitnet' || compilers.length === 0 || compilers.some((text) => /clang/i.test(text))) return undefined;
  return `${origin} was compiled by ${compilers.join(', ')}. Other than Clang, which upstream asks for, GCC fuses the rounding of activations, so a tie, which is rare, goes another way, and everything after it differs. Build it with Clang (-DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++) to compare bits.`;
}
