import { type LibraryBackend, preflight } from '@bittern/cpp-bridge';
import type { Io } from './io.ts';
import type { ProgressLine } from './output.ts';
import type { BackendReport } from './preflight-report.ts';
import { preflightRecording } from './recording-preflight.ts';

/** All that our engine can be compared with. */
export const REFERENCE_NAMES = ['bitnet', 'llama', 'recording'] as const;
export type ReferenceName = (typeof REFERENCE_NAMES)[number];

/**
 * Whether a reference can be used: it is found, looked at and run.
 *
 * @param requested - whether it must be there; otherwise one that is not set is skipped
 */
export function reportOn(
  name: ReferenceName,
  requested: boolean,
  progress: ProgressLine,
  io: Io,
): Promise<BackendReport> {
  if (name === 'recording') {
    progress.show('recording: verifying digests');
    return preflightRecording(io);
  }
  const { env, signal } = io;
  const onProgress = (what: string): void => progress.show(what);
  return preflight(name satisfies LibraryBackend, { env, requested, signal, onProgress });
}
