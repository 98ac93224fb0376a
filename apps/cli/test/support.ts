import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { GgufEditor, openGguf } from '@bittern/gguf-parser';
import { modelUrl, recordingUrl, tokenizerUrl } from '@bittern/storyteller';
import { onTestFinished } from 'vitest';
import { main } from '../src/main.ts';

export const MODEL: string = fileURLToPath(modelUrl);
/** The tokenizer of the model as tokenizer.json. */
export const TOKENIZER: string = fileURLToPath(tokenizerUrl);
export const RECORDING: string = fileURLToPath(recordingUrl);

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Standard input, in pieces. */
  readonly stdin?: readonly Uint8Array[] | AsyncIterable<Uint8Array>;
  readonly isTTY?: boolean;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Whether standard input is a terminal that edits lines. */
  readonly isTerminal?: boolean;
  /** Given what to call for Ctrl-C, whenever a command takes it. */
  readonly onTake?: (interrupt: () => void) => void;
  readonly signal?: AbortSignal;
  /** Called before each write to stdout; what it throws is the write's failure. */
  readonly onWrite?: (text: string) => void;
  readonly onProgress?: (text: string) => void;
}

/** Runs a command in this process. */
export async function bittern(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { stdin = [], isTTY = false, isTerminal = false, env = {}, onTake, onWrite, onProgress } = options;
  const { signal = new AbortController().signal } = options;
  let stdout = '';
  let stderr = '';
  const code = await main(argv, {
    stdin: Readable.from(stdin),
    isTerminal,
    stdout: {
      isTTY: false,
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
    env,
    columns: 100,
    signal,
    takeInterrupts(handler) {
      onTake?.(handler);
      return () => {};
    },
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

/** A copy of the storyteller model with other metadata, alone in a folder. */
export async function editedModel(edit: (editor: GgufEditor) => unknown, name = 'model.gguf'): Promise<string> {
  const editor = new GgufEditor(await openGguf(await readFile(MODEL)));
  edit(editor);
  const path = join(await temporaryFolder(), name);
  await writeFile(path, editor.chunks());
  return path;
}

/** Removes all that makes a tokenizer. */
export function removeTokenizer(editor: GgufEditor): void {
  editor.remove('tokenizer.ggml.model').remove('tokenizer.ggml.tokens').remove('tokenizer.ggml.merges');
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

/** An entry of a file's tensor table, read from its bytes by this function alone. */
export interface RawTensor {
  readonly name: string;
  readonly typeId: number;
  /** As in the file: innermost first. */
  readonly dims: readonly number[];
  readonly elementCount: number;
  /** Absolute. */
  readonly offsetBytes: number;
}

/** The tensor table of a little-endian file whose first tensor is `token_embd.weight`. Shares no code with the parser. */
export function rawTensors(bytes: Buffer): RawTensor[] {
  let at = bytes.indexOf('token_embd.weight') - 8;
  const u32 = (): number => bytes.readUInt32LE((at += 4) - 4);
  const u64 = (): number => Number(bytes.readBigUInt64LE((at += 8) - 8));
  const entries = Array.from({ length: Number(bytes.readBigUInt64LE(8)) }, () => {
    const nameBytes = u64();
    const name = bytes.toString('utf8', at, (at += nameBytes));
    const dims = Array.from({ length: u32() }, u64);
    return { name, dims, typeId: u32(), dataOffsetBytes: u64() };
  });
  const dataBytes = Math.ceil(at / 32) * 32;
  return entries.map(({ name, dims, typeId, dataOffsetBytes }) => ({
    name,
    typeId,
    dims,
    elementCount: dims.reduce((product, dim) => product * dim, 1),
    offsetBytes: dataBytes + dataOffsetBytes,
  }));
}

/** The elements of an F32 tensor. */
export function rawFloats(bytes: Buffer, { offsetBytes, elementCount }: RawTensor): number[] {
  return Array.from({ length: elementCount }, (_, index) => bytes.readFloatLE(offsetBytes + 4 * index));
}

/** The elements of an F32 tensor become what `change` makes of them. */
export function changeFloats(bytes: Buffer, name: string, change: (value: number, index: number) => number): void {
  const tensor = rawTensors(bytes).find((entry) => entry.name === name)!;
  for (const [index, value] of rawFloats(bytes, tensor).entries()) {
    bytes.writeFloatLE(change(value, index), tensor.offsetBytes + 4 * index);
  }
}

/** Sets the one scale of an I2_S tensor, which stands behind its codes. */
export function setScale(bytes: Buffer, name: string, scale: number): void {
  const { offsetBytes, elementCount } = rawTensors(bytes).find((entry) => entry.name === name)!;
  bytes.writeFloatLE(scale, offsetBytes + elementCount / 4);
}

/** Sets the type id of a tensor in the table. */
export function setTensorType(bytes: Buffer, name: string, typeId: number): void {
  const at = bytes.indexOf(name) + Buffer.byteLength(name);
  bytes.writeUInt32LE(typeId, at + 4 + 8 * bytes.readUInt32LE(at));
}

/** Writes bytes to a file that is removed after the test. */
export async function fileOf(bytes: Uint8Array | string | AsyncIterable<Uint8Array>, name: string): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, bytes);
  return path;
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
