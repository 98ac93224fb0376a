import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import type { Backend, BackendCapabilities, BackendInfo, LibraryFile } from './backend.ts';
import { BridgeError } from './errors.ts';
import { type GraphHooks, NO_HOOKS } from './hooks.ts';
import { checkKnownAnswer } from './known-answer.ts';
import type { ReferenceLibrary } from './library.ts';
import { loaderEnvironment } from './loader-path.ts';
import { ReferenceProcess } from './process.ts';
import { ProcessBackend } from './process-backend.ts';
import type { CacheType, ContextSettings } from './protocol.ts';

export interface OpenBackendOptions {
  /** GGUF file that the library itself can read. */
  readonly model: string;
  /** Tokens. Default: 512. */
  readonly contextLength?: number;
  /** Tokens in one run of the graph. Default: 512, as both references have it. */
  readonly microBatch?: number;
  /** Default: 1; results may depend on it. */
  readonly threads?: number;
  /** Of one request. Default: 10 minutes. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Parts {
  readonly library: ReferenceLibrary;
  readonly keys: CacheType;
  readonly values: CacheType;
  readonly hooks?: GraphHooks | undefined;
  readonly capabilities: BackendCapabilities;
  readonly numerics: (systemInfo: string) => BackendInfo['numerics'];
}

/** Starts a child, verifies the library with the known-answer model, and loads the model. Nothing is left on failure. */
export async function openBackend(
  { model, contextLength = 512, microBatch = 512, threads = 1, timeoutMs, signal, ...unknown }: OpenBackendOptions,
  { library, keys, values, hooks = NO_HOOKS, capabilities, numerics }: Parts,
): Promise<Backend> {
  const [key] = Object.keys(unknown);
  if (key !== undefined) throw new TypeError(`Unknown option "${key}".`);
  for (const [name, value] of Object.entries({ contextLength, microBatch, threads })) {
    if (!Number.isInteger(value) || !(value > 0)) throw new RangeError(`${name} is ${value}; it must be 1 or more.`);
  }
  signal?.throwIfAborted();
  const path = resolve(model);
  const context: ContextSettings = { contextLength, microBatch, threads, keys, values };
  const process = new ReferenceProcess({
    name: library.origin,
    env: loaderEnvironment(library),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  try {
    const version = await process.request<'open'>({ kind: 'open', library }, { signal });
    const knownAnswerError = await checkKnownAnswer(process, library.generation === 'new' ? 'f32' : 'f16', signal);
    const { vocabSize } = await process.request<'load'>({ kind: 'load', model: path, context, hooks }, { signal });
    const { llama, ggml, ggmlBase, cpu } = library.files;
    const files: LibraryFile[] = [];
    for (const file of [llama, ggml, ggmlBase, cpu]) if (file !== undefined) files.push(await describe(file, signal));
    const info: BackendInfo = {
      backend: library.backend,
      origin: library.origin,
      generation: library.generation,
      version,
      files,
      cpuVariant: library.cpuVariant ?? null,
      numerics: numerics(version.systemInfo),
      context,
      hooks,
      knownAnswerError,
      model: { ...(await describe(path, signal)), vocabSize },
    };
    return new ProcessBackend(process, info, capabilities);
  } catch (error) {
    await process.dispose();
    throw error;
  }
}

async function describe(path: string, signal?: AbortSignal): Promise<LibraryFile> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { signal })) hash.update(chunk as Uint8Array);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new BridgeError('BRIDGE_NOT_FOUND', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return { path, sha256: hash.digest('hex') };
}
