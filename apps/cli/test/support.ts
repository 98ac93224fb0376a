import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openGguf } from '@bittern/gguf-parser';
import { modelUrl, recordingUrl } from '@bittern/storyteller';
import { onTestFinished } from 'vitest';
import { main } from '../src/main.ts';

export const MODEL: string = fileURLToPath(modelUrl);
export const RECORDING: string = fileURLToPath(recordingUrl);

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly isTTY?: boolean;
  readonly signal?: AbortSignal;
  /** Called before each write to stdout; what it throws is the write's failure. */
  readonly onWrite?: (text: string) => void;
  readonly onProgress?: (text: string) => void;
}

/** Runs a command in this process. */
export async function bittern(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { isTTY = false, signal = new AbortController().signal, onWrite, onProgress } = options;
  let stdout = '';
  let stderr = '';
  const code = await main(argv, {
    stdout: {
      async write(text) {
        onWrite?.(text);
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        stderr += text;
        if (text.startsWith('\r')) onProgress?.(text);
      },
      isTTY,
    },
    columns: 100,
    signal,
  });
  return { code, stdout, stderr };
}

/** A folder that is removed after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bittern-cli-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** A copy of the storyteller model, changed. */
export async function changedModel(change: (bytes: Buffer) => Buffer | void | Promise<void>): Promise<string> {
  const bytes = await readFile(MODEL);
  const path = join(await temporaryFolder(), 'model.gguf');
  await writeFile(path, (await change(bytes)) ?? bytes);
  return path;
}

/** A tiling of the storyteller's shapes. */
export const TL1_TILING: Readonly<Record<string, readonly [number, number, number]>> = {
  '256x256': [64, 32, 64],
  '128x256': [128, 64, 32],
  '768x256': [256, 128, 32],
  '256x768': [64, 96, 32],
};

/** The storyteller with its weights as TL1, each pair at its address (docs/numerics.md, section 4). */
export async function tl1Bytes(): Promise<Buffer> {
  const source = await readFile(MODEL);
  const bytes = Buffer.from(source);
  const { floor } = Math;
  for (const { name, type, offsetBytes, shape } of (await openGguf(source)).tensors.values()) {
    if (type !== 'I2_S') continue;
    const [m, k] = shape as [number, number];
    const [BM, BBK, bm] = TL1_TILING[`${m}x${k}`]!;
    const by = 256 / bm;
    const code = (index: number): number =>
      (source[offsetBytes + floor(index / 128) * 32 + (index % 32)]! >> (6 - 2 * floor((index % 128) / 32))) & 3;
    bytes.fill(0, offsetBytes, offsetBytes + (m * k) / 4);
    for (let index = 0; index < m * k; index += 2) {
      const [row, j] = [floor(index / k), (index % k) / 2];
      const [r, kk] = [row % BM, j % (BBK / 2)];
      const [rr, k2] = [r % bm, kk % (by / 2)];
      let at = floor(row / BM) * (k / BBK) + floor(j / (BBK / 2));
      at = at * (BM / bm) + floor(r / bm);
      at = at * (BBK / by) + floor(kk / (by / 2));
      at = at * (bm / 16) + floor(rr / 16);
      at = at * (by / 4) + floor(k2 / 2);
      const pair = 3 * code(index) + code(index + 1);
      bytes[offsetBytes + at * 16 + (rr % 16)]! |= k2 % 2 === 0 ? pair << 4 : pair;
    }
    const end = bytes.indexOf(name) + name.length; // then u32 dimensions, their u64 lengths, the u32 type
    bytes.writeUInt32LE(38, end + 4 + 8 * 2);
  }
  return bytes;
}

/** Replaces a text by one of the same length, everywhere before the weights. */
export function replaceText(bytes: Buffer, from: string, to: string): void {
  if (from.length !== to.length || !bytes.includes(from)) throw new Error(`cannot replace ${from} by ${to}`);
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at)) bytes.write(to, at, 'latin1');
}

/** Sets a u32 of the metadata. */
export function setU32(bytes: Buffer, key: string, value: number): void {
  // key, u32 type (4 = u32), value
  const at = bytes.indexOf(key) + key.length;
  if (bytes.readUInt32LE(at) !== 4) throw new Error(`${key} is no u32`);
  bytes.writeUInt32LE(value, at + 4);
}

/** Changes the last of four weights in the first byte of a tensor, to `code` or to any other. */
export async function flipWeight(bytes: Buffer, tensor: string, code?: number): Promise<void> {
  const at = (await openGguf(bytes)).tensors.get(tensor)!.offsetBytes;
  // Codes are 0, 1 and 2.
  bytes[at] = (bytes[at]! & 0xfc) | (code ?? ((bytes[at]! & 3) === 0 ? 1 : 0));
}

/** A copy of the storyteller's recording, its two files changed. */
export async function changedRecording(
  change: (files: { json: string; values: Uint8Array }) => { json?: string; values?: Uint8Array },
): Promise<string> {
  const folder = await temporaryFolder();
  await cp(RECORDING, folder, { recursive: true });
  const jsonPath = join(folder, 'recording.json');
  const valuesPath = join(folder, 'values.safetensors');
  const { json, values } = change({ json: await readFile(jsonPath, 'utf8'), values: await readFile(valuesPath) });
  if (json !== undefined) await writeFile(jsonPath, json);
  if (values !== undefined) await writeFile(valuesPath, values);
  return folder;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
