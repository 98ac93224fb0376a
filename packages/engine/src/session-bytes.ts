import type { Lanes } from '@bittern/kernels';
import { EngineError } from './errors.ts';
import type { KvType } from './run-state.ts';
import { WordHash } from './word-hash.ts';

/** What bytes of `session.save()` say, keys and values apart. */
export interface SavedSession {
  readonly lanes: Lanes;
  readonly kvType: KvType;
  readonly contextLength: number;
  /** 16 bytes: `modelDigest`. */
  readonly model: Uint8Array;
  /** By position: id, number of its micro-batch, and 1 if it was evaluated alone. */
  readonly ids: Int32Array;
  readonly steps: Int32Array;
  readonly alone: Uint8Array;
}

export interface RestoredSession extends SavedSession {
  /** Keys and values: `RunState.readCells`. */
  readonly cells: Uint8Array;
}

// Little-endian. The header, then u32 ids, u32 steps, u8 alone, padded to 4 bytes, then keys and values.
const MAGIC = 'BITTERN\u0001'; // its last byte is the version
const LANES = 8; // u32
const VALUE_BYTES = 12; // u32: 2 for f16, 4 for f32
const CONTEXT_LENGTH = 16; // u32
const POSITION = 20; // u32: number of tokens
const MODEL = 24; // 16 bytes
const CHECKSUM = 40; // 16 bytes: of all others
const HEADER_BYTES = 56;

/** Where keys and values begin behind `position` tokens. */
function cellsOffset(position: number): number {
  return HEADER_BYTES + 8 * position + Math.ceil(position / 4) * 4;
}

/**
 * @param cellBytes - of all keys and values
 * @param writeCells - writes them
 */
export function encodeSession(
  saved: SavedSession,
  cellBytes: number,
  writeCells: (out: Uint8Array) => void,
): Uint8Array<ArrayBuffer> {
  const position = saved.ids.length;
  const bytes = new Uint8Array(cellsOffset(position) + cellBytes);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < MAGIC.length; index++) bytes[index] = MAGIC.charCodeAt(index);
  view.setUint32(LANES, saved.lanes, true);
  view.setUint32(VALUE_BYTES, saved.kvType === 'f16' ? 2 : 4, true);
  view.setUint32(CONTEXT_LENGTH, saved.contextLength, true);
  view.setUint32(POSITION, position, true);
  bytes.set(saved.model, MODEL);
  new Int32Array(bytes.buffer, HEADER_BYTES, position).set(saved.ids);
  new Int32Array(bytes.buffer, HEADER_BYTES + 4 * position, position).set(saved.steps);
  bytes.set(saved.alone, HEADER_BYTES + 8 * position);
  writeCells(bytes.subarray(cellsOffset(position)));
  bytes.set(checksum(bytes), CHECKSUM);
  return bytes;
}

export interface DecodeLimits {
  readonly vocabSize: number;
  /** The longest context of the model. */
  readonly contextLength: number;
  /** Bytes of the keys and values of so many tokens. */
  cellBytes(position: number, kvType: KvType): number;
}

/**
 * Reads what {@link encodeSession} wrote. Sizes are checked before anything is allocated for them.
 *
 * @returns `cells` is a view of the bytes
 * @throws {EngineError} ENGINE_SESSION_DAMAGED
 */
export function decodeSession(bytes: Uint8Array, limits: DecodeLimits): RestoredSession {
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic.slice(0, -1) !== MAGIC.slice(0, -1)) throw damaged('they do not begin as a saved session does');
  if (magic !== MAGIC)
    throw damaged(`they have version ${magic.charCodeAt(7)} of the format, and this release reads version 1`);
  if (bytes.length < HEADER_BYTES) throw damaged(`they end after ${bytes.length} bytes, within the header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lanes = view.getUint32(LANES, true);
  const valueBytes = view.getUint32(VALUE_BYTES, true);
  const contextLength = view.getUint32(CONTEXT_LENGTH, true);
  const position = view.getUint32(POSITION, true);
  if (lanes !== 8 && lanes !== 16) throw damaged(`their numerics have ${lanes} lanes`);
  if (valueBytes !== 2 && valueBytes !== 4) throw damaged(`their keys have ${valueBytes} bytes`);
  if (!(contextLength >= 1 && contextLength <= limits.contextLength))
    throw damaged(`their context length is ${contextLength}, and the model's ${limits.contextLength}`);
  if (!(position <= contextLength)) throw damaged(`they have ${position} tokens in a context of ${contextLength}`);
  const kvType = valueBytes === 2 ? 'f16' : 'f32';
  const expected = cellsOffset(position) + limits.cellBytes(position, kvType);
  if (bytes.length !== expected)
    throw damaged(`there are ${bytes.length} of them, and ${position} tokens of this model take ${expected}`);
  if (!checksum(bytes).every((byte, index) => byte === bytes[CHECKSUM + index]))
    throw damaged('their checksum is wrong: some were changed');

  // A copy: the caller's bytes need not be aligned.
  const words = new Int32Array(bytes.slice(HEADER_BYTES, HEADER_BYTES + 8 * position).buffer);
  const [ids, steps] = [words.subarray(0, position), words.subarray(position)];
  const alone = bytes.slice(HEADER_BYTES + 8 * position, HEADER_BYTES + 9 * position);
  if (!ids.every((id) => id >= 0 && id < limits.vocabSize)) throw damaged('they hold an id outside the vocabulary');
  if (!steps.every((step, index) => step >= 0 && (index === 0 || isNext(step, steps[index - 1]!))))
    throw damaged('their micro-batches are out of order');
  if (!alone.every((flag) => flag <= 1)) throw damaged('they do not say how tokens were evaluated');
  return {
    lanes,
    kvType,
    contextLength,
    model: bytes.slice(MODEL, MODEL + 16),
    ids,
    steps,
    alone,
    cells: bytes.subarray(cellsOffset(position)),
  };
}

function isNext(step: number, before: number): boolean {
  return step === before || step === before + 1;
}

/** Of all bytes but its own. */
function checksum(bytes: Uint8Array): Uint8Array {
  return new WordHash().update(bytes.subarray(0, CHECKSUM)).update(bytes.subarray(HEADER_BYTES)).digest();
}

function damaged(why: string): EngineError {
  return new EngineError(
    'ENGINE_SESSION_DAMAGED',
    `These bytes are no saved session: ${why}. Save the session again, or evaluate its tokens anew.`,
  );
}
