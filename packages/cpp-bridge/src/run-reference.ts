import { numericsOf } from './backends/bitnet.ts';
import type { BackendInfo } from './backend.ts';
import { checkKnownAnswer } from './known-answer.ts';
import type { ReferenceLibrary } from './library.ts';
import { loaderEnvironment } from './loader-path.ts';
import { ReferenceProcess } from './process.ts';
import type { LibraryVersion } from './protocol.ts';
import { refuseUnknownOptions } from './unknown-options.ts';

/** What a reference said and computed when it was run. */
export interface RunResult {
  /** As the library gives it. */
  readonly version: LibraryVersion;
  /** The order of float sums of a bitnet.cpp; null for another. */
  readonly numerics: BackendInfo['numerics'];
  /** Largest error of the known-answer model's logits over the largest logit. */
  readonly knownAnswerError: number;
}

export interface RunOptions {
  /** Of each step. Default: one minute, of which a sound library takes a fraction of a second. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a reference in a child process, on the model whose answer is known. The child is gone afterwards.
 *
 * @throws BridgeError that says how it failed; rejects with `signal.reason`
 */
export async function runReference(
  library: ReferenceLibrary,
  { timeoutMs = 60_000, signal, ...unknown }: RunOptions = {},
): Promise<RunResult> {
  refuseUnknownOptions(unknown);
  signal?.throwIfAborted();
  const process = new ReferenceProcess({ name: library.origin, timeoutMs, env: loaderEnvironment(library) });
  try {
    const version = await process.request<'open'>({ kind: 'open', library }, { signal });
    // Without flash attention the old generation has its values in f16 only.
    const kv = library.generation === 'old' ? 'f16' : 'f32';
    const knownAnswerError = await checkKnownAnswer(process, kv, signal);
    const numerics = library.backend === 'bitnet' ? numericsOf(version.systemInfo) : null;
    return { version, numerics, knownAnswerError };
  } finally {
    await process.dispose();
  }
}
