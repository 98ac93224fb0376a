import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Io } from '../src/io.ts';
import { main } from '../src/main.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in this process. */
export async function bench(
  argv: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<Outcome> {
  const { io, written } = fakeIo(signal);
  const code = await main(argv, io);
  return { code, ...written };
}

export function fakeIo(signal: AbortSignal = new AbortController().signal): {
  readonly io: Io;
  readonly written: { stdout: string; stderr: string };
} {
  const written = { stdout: '', stderr: '' };
  const io: Io = {
    stdout: {
      async write(text) {
        written.stdout += text;
      },
    },
    stderr: {
      write(text) {
        written.stderr += text;
      },
      isTTY: false,
    },
    columns: 100,
    signal,
  };
  return { io, written };
}

/** A folder that is removed after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bittern-bench-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}
