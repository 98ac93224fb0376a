import { openGguf } from '@bittern/gguf-parser';
import type { Tl1Tilings } from '../src/index.ts';

/** Bytes of a good GGUF file to spoil: each function returns a changed copy. */
type Bytes = Uint8Array<ArrayBuffer>;

const U32 = 4;
const F32 = 6;

/** Replaces the first `from` with `to`, which has the same length: a renamed tensor, key or architecture. */
export function rename(bytes: Bytes, from: string, to: string): Bytes {
  if (to.length !== from.length) throw new Error(`"${to}" is not as long as "${from}"`);
  const copy = bytes.slice();
  copy.set(new TextEncoder().encode(to), find(bytes, from));
  return copy;
}

/** Gives a u32 or f32 metadata value. */
export function setValue(bytes: Bytes, key: string, value: number): Bytes {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const at = find(bytes, key) + key.length;
  const type = view.getUint32(at, true);
  if (type === U32) view.setUint32(at + 4, value, true);
  else if (type === F32) view.setFloat32(at + 4, value, true);
  else throw new Error(`"${key}" has the type ${type}, not u32 or f32`);
  return copy;
}

/** Gives the type id of a tensor in the file's list. */
export function setTensorType(bytes: Bytes, name: string, typeId: number): Bytes {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const at = find(bytes, name) + name.length;
  view.setUint32(at + 4 + 8 * view.getUint32(at, true), typeId, true);
  return copy;
}

/** Exchanges the two dimensions of a tensor, which leaves its size. */
export function swapDims(bytes: Bytes, name: string): Bytes {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const at = find(bytes, name) + name.length + 4;
  const first = view.getBigUint64(at, true);
  view.setBigUint64(at, view.getBigUint64(at + 8, true), true);
  view.setBigUint64(at + 8, first, true);
  return copy;
}

/** Sets bytes of a tensor's data; `offsetBytes` counts from its start, or from its end if negative. */
export async function setData(bytes: Bytes, name: string, offsetBytes: number, data: Uint8Array): Promise<Bytes> {
  const { tensors } = await openGguf(bytes);
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor "${name}"`);
  const copy = bytes.slice();
  copy.set(data, tensor.offsetBytes + (offsetBytes < 0 ? tensor.sizeBytes : 0) + offsetBytes);
  return copy;
}

export function f32(...values: number[]): Uint8Array {
  return new Uint8Array(new Float32Array(values).buffer);
}

/** The I2_S tensors of a 128x32 file in the layout 64x16, one weight at a time. Shares nothing with the kernels' code. */
export async function toLayout64x16(bytes: Bytes): Promise<Bytes> {
  const { tensors } = await openGguf(bytes);
  const copy = bytes.slice();
  for (const { type, offsetBytes, elementCount } of tensors.values()) {
    if (type !== 'I2_S') continue;
    copy.fill(0, offsetBytes, offsetBytes + elementCount / 4);
    for (let index = 0; index < elementCount; index++) {
      const [wideByte, wideShift] = placeOf(index, 128);
      const [narrowByte, narrowShift] = placeOf(index, 64);
      copy[offsetBytes + narrowByte]! |= ((bytes[offsetBytes + wideByte]! >> wideShift) & 3) << narrowShift;
    }
  }
  return copy;
}

/** The I2_S tensors of a 128x32 file as TL1, pair by pair in the order of the packed bytes. Shares nothing with the kernels' code. */
export async function toTl1(bytes: Bytes, tilings: Tl1Tilings): Promise<Bytes> {
  const { tensors } = await openGguf(bytes);
  let copy = setValue(bytes, 'general.file_type', 38);
  for (const { name, type, offsetBytes, shape } of tensors.values()) {
    if (type !== 'I2_S') continue;
    copy = setTensorType(copy, name, 38);
    const [rows, columns] = shape as [number, number];
    const [tileRows, tileColumns, innerRows] = tilings[`${rows}x${columns}`]!;
    const innerColumns = 256 / innerRows;
    /** 0, 1 or 2 for -1, 0 and 1 */
    const weight = (row: number, column: number): number => {
      const [byte, shift] = placeOf(row * columns + column, 128);
      return (bytes[offsetBytes + byte]! >> shift) & 3;
    };
    const pair = (row: number, column: number): number => 3 * weight(row, column) + weight(row, column + 1);
    let at = offsetBytes;
    for (const tileRow of steps(0, rows, tileRows)) {
      for (const tileColumn of steps(0, columns, tileColumns)) {
        for (const innerRow of steps(tileRow, tileRow + tileRows, innerRows)) {
          for (const innerColumn of steps(tileColumn, tileColumn + tileColumns, innerColumns)) {
            for (const sixteen of steps(innerRow, innerRow + innerRows, 16)) {
              for (const column of steps(innerColumn, innerColumn + innerColumns, 4)) {
                for (const row of steps(sixteen, sixteen + 16, 1)) {
                  copy[at++] = (pair(row, column) << 4) | pair(row, column + 2);
                }
              }
            }
          }
        }
      }
    }
  }
  return copy;
}

function* steps(begin: number, end: number, step: number): Generator<number> {
  for (let i = begin; i < end; i += step) yield i;
}

/** Byte and shift of weight `index` where `group` weights share `group / 4` bytes: the first quarter in the highest bits. */
function placeOf(index: number, group: number): [byte: number, shift: number] {
  const quarter = group / 4;
  const inGroup = index % group;
  return [Math.floor(index / group) * quarter + (inGroup % quarter), 6 - 2 * Math.floor(inGroup / quarter)];
}

function find(bytes: Bytes, text: string): number {
  const at = Buffer.from(bytes.buffer).indexOf(text);
  if (at < 0) throw new Error(`no "${text}" in the file`);
  return at;
}
