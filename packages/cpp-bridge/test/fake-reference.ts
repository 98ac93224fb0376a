import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { LibraryBackend } from '../src/library.ts';
import type { Place } from '../src/places.ts';
import { elfLibrary, type ElfSpec } from './elf-writer.ts';
import { newHeaders, oldHeaders } from './header-writer.ts';

/** A folder that is removed after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bittern-bridge-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function writeFiles(folder: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

const BOTH = [
  'llama_backend_init',
  'llama_model_default_params',
  'llama_context_default_params',
  'llama_tokenize',
  'llama_decode',
  'llama_get_logits_ith',
  'llama_free',
  'llama_log_set',
];
export const LLAMA_FUNCTIONS: Readonly<Record<'old' | 'new', readonly string[]>> = {
  new: [...BOTH, 'llama_model_load_from_file', 'llama_init_from_model', 'llama_get_memory', 'llama_memory_clear'],
  old: [...BOTH, 'llama_load_model_from_file', 'llama_new_context_with_model', 'llama_kv_cache_clear'],
};
export const GGML_FUNCTIONS: readonly string[] = [
  'ggml_get_name',
  'ggml_nbytes',
  'ggml_is_contiguous',
  'ggml_backend_tensor_get',
  'ggml_backend_tensor_set',
];
const BITNET_FUNCTION = 'ggml_vec_dot_i2_i8_s';

export interface FakeReference {
  readonly backend: LibraryBackend;
  readonly generation?: 'old' | 'new';
  readonly headers?: 'old' | 'new' | 'none';
  readonly llama?: ElfSpec;
  readonly ggml?: ElfSpec;
}

/** Files of a reference as its build leaves them. The libraries can be loaded, and do nothing. */
export function fakeFiles({
  backend,
  generation = backend === 'bitnet' ? 'old' : 'new',
  headers = generation,
  llama,
  ggml,
}: FakeReference): Record<string, string | Uint8Array> {
  const [libraries, ggmlLibraries, include] =
    backend === 'bitnet'
      ? ['build/3rdparty/llama.cpp/src', 'build/3rdparty/llama.cpp/ggml/src', '3rdparty/llama.cpp']
      : ['build/bin', 'build/bin', '.'];
  const source = headers === 'old' ? oldHeaders() : newHeaders();
  const ownFunctions = backend === 'bitnet' ? [...GGML_FUNCTIONS, BITNET_FUNCTION] : GGML_FUNCTIONS;
  const texts = {
    [join(include, 'include/llama.h')]: source('llama.h')!,
    [join(include, 'ggml/include/ggml.h')]: source('ggml.h')!,
  };
  return {
    ...(headers === 'none' ? {} : texts),
    [join(libraries, 'libllama.so')]: elfLibrary({
      soname: 'libllama.so',
      functions: LLAMA_FUNCTIONS[generation],
      ...llama,
    }),
    [join(ggmlLibraries, 'libggml.so')]: elfLibrary({ soname: 'libggml.so', functions: ownFunctions, ...ggml }),
  };
}

/** A folder with such a reference. */
export async function fakeReference(options: FakeReference, folder?: string): Promise<Place> {
  const root = folder ?? (await temporaryFolder());
  await writeFiles(root, fakeFiles(options));
  return { backend: options.backend, kind: 'environment', folder: root, origin: `the reference in ${root}` };
}
