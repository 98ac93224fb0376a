import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openRecording } from '@bittern/crossval';
import type { PreflightStatus } from '@bittern/cpp-bridge';
import { modelUrl, recordingUrl } from '@bittern/storyteller';
import { codeOf, isUnusable, messageOf } from './errors.ts';
import type { Io } from './io.ts';
import { sha256OfFile } from './model-file.ts';

/** Whether the recording that comes with bittern can stand in for a bitnet.cpp. */
export interface RecordingReport {
  readonly backend: 'recording';
  readonly status: Exclude<PreflightStatus, 'skipped'>;
  readonly problem: { readonly code: string; readonly message: string } | undefined;
  readonly next: string | undefined;
  readonly folder: string;
  readonly model: { readonly path: string; readonly sha256: string } | undefined;
  /** Builds of bitnet.cpp that were recorded. */
  readonly references: readonly { readonly id: string; readonly numerics: string | undefined }[];
}

/** @param folder - of the recording; default: the storyteller's, and its model */
export async function preflightRecording(
  io: Io,
  folder: string = fileURLToPath(recordingUrl),
  model: string = fileURLToPath(modelUrl),
): Promise<RecordingReport> {
  const found = { backend: 'recording', folder } as const;
  const next = 'Install bittern again: the recording and its model come with it.';
  try {
    // Verifies the digests of all that was recorded.
    const recording = await openRecording((name) => readFile(join(folder, name), { signal: io.signal }));
    const sha256 = await sha256OfFile(model, io.signal);
    const references = recording.references.map(({ id, numerics }) => ({ id, numerics }));
    const report = { ...found, model: { path: model, sha256 }, references };
    if (sha256 === recording.model.sha256) return { ...report, status: 'ok', problem: undefined, next: undefined };
    const message = `${model} has SHA-256 ${sha256}, but the recording is of ${recording.model.sha256}.`;
    return { ...report, status: 'broken', problem: { code: 'MODEL_DIFFERS', message }, next };
  } catch (error) {
    if (io.signal.aborted || !isUnusable(error)) throw error;
    const code = codeOf(error) ?? 'UNREADABLE';
    const problem = { code, message: messageOf(error) };
    return {
      ...found,
      status: code === 'ENOENT' ? 'missing' : 'broken',
      problem,
      next,
      model: undefined,
      references: [],
    };
  }
}
