import { expect, test } from 'vitest';
import { generate, loadModel, NUMERICS, prefill } from '../../src/index.ts';

// The model of the repository in a page: the digests that bitnet.cpp's logits have.

interface Recording {
  readonly runs: readonly {
    readonly reference: string;
    readonly mode: 'batch-all' | 'batch-last' | 'sequential';
    readonly ids: readonly number[];
    readonly rows: readonly { readonly position: number; readonly sha256: string }[];
    readonly greedy: readonly number[];
  }[];
}

/** The test server's root is the repository's. */
const folder = new URL('/packages/storyteller/', location.origin);

async function read(path: string): Promise<Response> {
  const response = await fetch(new URL(path, folder));
  expect(response.ok).toBe(true);
  return response;
}

async function digest(row: Float32Array): Promise<string> {
  const bytes = await crypto.subtle.digest('SHA-256', Float32Array.from(row));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

test.each([1, 2])('storyteller, %i thread(s)', async (threads) => {
  const bytes = await (await read('model/storyteller.i2_s.gguf')).arrayBuffer();
  const { runs } = (await (await read('recording/recording.json')).json()) as Recording;
  let compared = 0;
  for (const numerics of NUMERICS) {
    using model = await loadModel(bytes, { numerics, threads });
    using session = model.createSession();
    for (const run of runs.filter(({ reference }) => reference === numerics).slice(0, 9)) {
      session.reset();
      const digests: Promise<{ position: number; sha256: string }>[] = [];
      const logits = await prefill(session, run.ids, run.mode, {
        onLogits: (row, position) => digests.push(digest(row).then((sha256) => ({ position, sha256 }))),
      });
      expect(await Promise.all(digests)).toEqual(run.rows.map(({ position, sha256 }) => ({ position, sha256 })));
      const greedy: number[] = [];
      for await (const id of generate(session, logits, { maxTokens: 8 })) greedy.push(id);
      expect(greedy).toEqual(run.greedy.slice(0, 8));
      compared += run.rows.length;
    }
  }
  expect(compared).toBeGreaterThan(100);
});
