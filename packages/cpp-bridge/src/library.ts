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
  readonly layouts: AbiLayouts;
}
