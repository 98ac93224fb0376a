import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { modelFingerprint } from './model-fingerprint.ts';

test.each([3, 3 * 2 ** 20])(
  '%i bytes: another beginning, end or size is another model, another place is not',
  async (size) => {
    const folder = await mkdtemp(join(tmpdir(), 'bittern-bench-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const of = async (name: string, bytes: Uint8Array): Promise<string> => {
      await writeFile(join(folder, name), bytes);
      return modelFingerprint(join(folder, name));
    };
    const bytes = new Uint8Array(size);
    const same = await of('a', bytes);
    expect(same).toMatch(/^[0-9a-f]{12}$/);
    expect(await of('b', bytes)).toBe(same);
    const others = [bytes.with(0, 1), bytes.with(size - 1, 1), new Uint8Array(size + 1)];
    for (const other of others) expect(await of('c', other)).not.toBe(same);
  },
);
