import { ABI_STRUCTS, type AbiLayouts, type AbiScalar, type AbiStruct } from '../src/abi-layouts.ts';
import { LLAMA_0_5_0_LAYOUTS } from '../src/ffi/layouts-llama-0.5.0.ts';

/** How the headers of a reference could declare a field: names of types differ, layouts do not. */
const DECLARATIONS: Readonly<Record<AbiScalar, string>> = {
  bool: 'bool',
  i8: 'char',
  u8: 'uint8_t',
  i16: 'int16_t',
  u16: 'uint16_t',
  i32: 'int32_t',
  u32: 'uint32_t',
  i64: 'int64_t',
  u64: 'size_t',
  f32: 'float',
  f64: 'double',
  pointer: 'struct thing *',
};

const FUNCTIONS = {
  new: ['llama_model_load_from_file', 'llama_init_from_model', 'llama_get_memory'],
  old: ['llama_load_model_from_file', 'llama_new_context_with_model', 'llama_kv_cache_clear'],
  neither: [],
} as const;

/**
 * Headers that declare structs with these fields, in their order. Sizes and offsets do not go into them: whoever reads the headers
 * has to find them again.
 *
 * @param replaced - other text for a struct
 */
export function headersFor(
  layouts: AbiLayouts,
  generation: keyof typeof FUNCTIONS,
  replaced: Partial<Record<keyof AbiLayouts, string>> = {},
): (name: string) => string | undefined {
  const structs = ABI_STRUCTS.map((name) => replaced[name] ?? structText(name, layouts[name]));
  const functions = FUNCTIONS[generation].map(
    (name) => `    LLAMA_API struct thing * ${name}(\n        const char * a, int b);`,
  );
  const files: Record<string, string> = {
    'llama.h': `#ifndef LLAMA_H
#define LLAMA_H
#include "ggml.h"
#include "not-there.h"
#include <stdint.h>
#ifdef LLAMA_SHARED
#  if defined(_WIN32) && !defined(__MINGW32__)
#    define LLAMA_API __declspec(dllimport)
#  else
#    define LLAMA_API __attribute__ ((visibility ("default")))
#  endif
#else
#  define LLAMA_API
#endif
#ifdef __cplusplus
extern "C" {
#endif
${structs.slice(0, 3).join('\n')}
    LLAMA_API void llama_some(void); // one of many
${functions.join('\n')}
#ifdef __cplusplus
}
#endif
#endif // LLAMA_H
`,
    'ggml.h': `#pragma once
/* Not llama.cpp's, but like it. */
#define GGML_DIMS 4
#ifndef GGML_NAME
#   define GGML_NAME 64
#endif
#ifdef __GNUC__
#    define GGML_OLD(what, hint) what __attribute__((deprecated(hint)))
#endif
enum ggml_some { GGML_A = 0, GGML_B, GGML_C = GGML_B + 3, };
struct thing;
${structs[3]}
`,
  };
  return (name) => files[name];
}

export function newHeaders(): (name: string) => string | undefined {
  return headersFor(LLAMA_0_5_0_LAYOUTS, 'new');
}

export function oldHeaders(): (name: string) => string | undefined {
  return headersFor(OLD_LAYOUTS, 'old');
}

function structText(name: string, { fields }: AbiStruct): string {
  const lines = Object.entries(fields).map(([field, { type, count }]) => {
    // The ways in which the two headers write the lengths that they have.
    const length = count === undefined ? '' : count === 4 ? '[GGML_DIMS]' : count === 64 ? '[GGML_NAME]' : `[${count}]`;
    const declaration = `${DECLARATIONS[type]} ${field}${length}`;
    return `        ${field === 'flags' ? `GGML_OLD(${declaration}, "is (in, some way) old")` : declaration}; // ${field}`;
  });
  return `    struct ${name} {\n${lines.join('\n')}\n    };`;
}

/**
 * Structs of the llama.cpp of autumn 2024 that bitnet.cpp uses (Eddie-Wang1120/llama.cpp, branch merge-dev at 406a503), offsets by
 * gcc's offsetof.
 */
export const OLD_LAYOUTS: AbiLayouts = {
  llama_model_params: {
    sizeBytes: 64,
    fields: {
      n_gpu_layers: { offsetBytes: 0, type: 'i32' },
      split_mode: { offsetBytes: 4, type: 'i32' },
      main_gpu: { offsetBytes: 8, type: 'i32' },
      tensor_split: { offsetBytes: 16, type: 'pointer' },
      rpc_servers: { offsetBytes: 24, type: 'pointer' },
      progress_callback: { offsetBytes: 32, type: 'pointer' },
      progress_callback_user_data: { offsetBytes: 40, type: 'pointer' },
      kv_overrides: { offsetBytes: 48, type: 'pointer' },
      vocab_only: { offsetBytes: 56, type: 'bool' },
      use_mmap: { offsetBytes: 57, type: 'bool' },
      use_mlock: { offsetBytes: 58, type: 'bool' },
      check_tensors: { offsetBytes: 59, type: 'bool' },
    },
  },
  llama_context_params: {
    sizeBytes: 120,
    fields: {
      n_ctx: { offsetBytes: 0, type: 'u32' },
      n_batch: { offsetBytes: 4, type: 'u32' },
      n_ubatch: { offsetBytes: 8, type: 'u32' },
      n_seq_max: { offsetBytes: 12, type: 'u32' },
      n_threads: { offsetBytes: 16, type: 'i32' },
      n_threads_batch: { offsetBytes: 20, type: 'i32' },
      rope_scaling_type: { offsetBytes: 24, type: 'i32' },
      pooling_type: { offsetBytes: 28, type: 'i32' },
      attention_type: { offsetBytes: 32, type: 'i32' },
      rope_freq_base: { offsetBytes: 36, type: 'f32' },
      rope_freq_scale: { offsetBytes: 40, type: 'f32' },
      yarn_ext_factor: { offsetBytes: 44, type: 'f32' },
      yarn_attn_factor: { offsetBytes: 48, type: 'f32' },
      yarn_beta_fast: { offsetBytes: 52, type: 'f32' },
      yarn_beta_slow: { offsetBytes: 56, type: 'f32' },
      yarn_orig_ctx: { offsetBytes: 60, type: 'u32' },
      defrag_thold: { offsetBytes: 64, type: 'f32' },
      cb_eval: { offsetBytes: 72, type: 'pointer' },
      cb_eval_user_data: { offsetBytes: 80, type: 'pointer' },
      type_k: { offsetBytes: 88, type: 'i32' },
      type_v: { offsetBytes: 92, type: 'i32' },
      logits_all: { offsetBytes: 96, type: 'bool' },
      embeddings: { offsetBytes: 97, type: 'bool' },
      offload_kqv: { offsetBytes: 98, type: 'bool' },
      flash_attn: { offsetBytes: 99, type: 'bool' },
      no_perf: { offsetBytes: 100, type: 'bool' },
      abort_callback: { offsetBytes: 104, type: 'pointer' },
      abort_callback_data: { offsetBytes: 112, type: 'pointer' },
    },
  },
  llama_batch: {
    sizeBytes: 72,
    fields: {
      n_tokens: { offsetBytes: 0, type: 'i32' },
      token: { offsetBytes: 8, type: 'pointer' },
      embd: { offsetBytes: 16, type: 'pointer' },
      pos: { offsetBytes: 24, type: 'pointer' },
      n_seq_id: { offsetBytes: 32, type: 'pointer' },
      seq_id: { offsetBytes: 40, type: 'pointer' },
      logits: { offsetBytes: 48, type: 'pointer' },
      all_pos_0: { offsetBytes: 56, type: 'i32' },
      all_pos_1: { offsetBytes: 60, type: 'i32' },
      all_seq_id: { offsetBytes: 64, type: 'i32' },
    },
  },
  ggml_tensor: {
    sizeBytes: 336,
    fields: {
      type: { offsetBytes: 0, type: 'i32' },
      backend: { offsetBytes: 4, type: 'i32' },
      buffer: { offsetBytes: 8, type: 'pointer' },
      ne: { offsetBytes: 16, type: 'i64', count: 4 },
      nb: { offsetBytes: 48, type: 'u64', count: 4 },
      op: { offsetBytes: 80, type: 'i32' },
      op_params: { offsetBytes: 84, type: 'i32', count: 16 },
      flags: { offsetBytes: 148, type: 'i32' },
      grad: { offsetBytes: 152, type: 'pointer' },
      src: { offsetBytes: 160, type: 'pointer', count: 10 },
      view_src: { offsetBytes: 240, type: 'pointer' },
      view_offs: { offsetBytes: 248, type: 'u64' },
      data: { offsetBytes: 256, type: 'pointer' },
      name: { offsetBytes: 264, type: 'i8', count: 64 },
      extra: { offsetBytes: 328, type: 'pointer' },
    },
  },
};
