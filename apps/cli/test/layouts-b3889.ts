import type { AbiField, AbiLayouts, AbiScalar } from '@bittern/cpp-bridge';

const field = (offsetBytes: number, type: AbiScalar, count?: number): AbiField => ({
  offsetBytes,
  type,
  ...(count === undefined ? {} : { count }),
});

/**
 * Structs of llama.cpp b3889 (October 2024) on 64-bit platforms, as its llama.h and ggml.h declare them; the fields that
 * the bridge uses and those by which the fingerprint checks the layout.
 */
export const B3889_LAYOUTS: AbiLayouts = {
  llama_model_params: {
    sizeBytes: 64,
    fields: {
      n_gpu_layers: field(0, 'i32'),
      main_gpu: field(8, 'i32'),
      tensor_split: field(16, 'pointer'),
      progress_callback: field(32, 'pointer'),
      progress_callback_user_data: field(40, 'pointer'),
      kv_overrides: field(48, 'pointer'),
      vocab_only: field(56, 'bool'),
      use_mmap: field(57, 'bool'),
      use_mlock: field(58, 'bool'),
      check_tensors: field(59, 'bool'),
    },
  },
  llama_context_params: {
    sizeBytes: 120,
    fields: {
      n_ctx: field(0, 'u32'),
      n_batch: field(4, 'u32'),
      n_ubatch: field(8, 'u32'),
      n_seq_max: field(12, 'u32'),
      n_threads: field(16, 'i32'),
      n_threads_batch: field(20, 'i32'),
      rope_freq_base: field(36, 'f32'),
      rope_freq_scale: field(40, 'f32'),
      yarn_ext_factor: field(44, 'f32'),
      yarn_orig_ctx: field(60, 'u32'),
      defrag_thold: field(64, 'f32'),
      cb_eval: field(72, 'pointer'),
      cb_eval_user_data: field(80, 'pointer'),
      type_k: field(88, 'i32'),
      type_v: field(92, 'i32'),
      embeddings: field(97, 'bool'),
      offload_kqv: field(98, 'bool'),
      flash_attn: field(99, 'bool'),
      abort_callback: field(104, 'pointer'),
    },
  },
  llama_batch: {
    sizeBytes: 72,
    fields: {
      n_tokens: field(0, 'i32'),
      token: field(8, 'pointer'),
      embd: field(16, 'pointer'),
      pos: field(24, 'pointer'),
      n_seq_id: field(32, 'pointer'),
      seq_id: field(40, 'pointer'),
      logits: field(48, 'pointer'),
    },
  },
  ggml_tensor: {
    sizeBytes: 336,
    fields: {
      type: field(0, 'i32'),
      ne: field(16, 'i64', 4),
      nb: field(48, 'u64', 4),
      op: field(80, 'i32'),
      src: field(160, 'pointer', 10),
      name: field(264, 'i8', 64),
    },
  },
};
