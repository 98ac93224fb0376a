import type { AbiField, AbiStruct } from '../abi-layouts.ts';

/** One C struct in memory of ours; fields are read and written by name at the layout's offsets. */
export class StructBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #layout: AbiStruct;
  readonly #view: DataView;

  /** @param bytes - copied; default: zeros */
  constructor(layout: AbiStruct, bytes?: Uint8Array) {
    this.bytes = new Uint8Array(layout.sizeBytes);
    if (bytes !== undefined) this.bytes.set(bytes.subarray(0, layout.sizeBytes));
    this.#layout = layout;
    this.#view = new DataView(this.bytes.buffer);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#layout.fields, name);
  }

  /** Of an array field, the first element. Integers of 64 bits and pointers are bigint, bools 0 or 1. */
  get(name: string): number | bigint {
    const { offsetBytes: at, type } = this.#field(name);
    switch (type) {
      case 'bool':
      case 'u8':
        return this.#view.getUint8(at);
      case 'i8':
        return this.#view.getInt8(at);
      case 'i16':
        return this.#view.getInt16(at, true);
      case 'u16':
        return this.#view.getUint16(at, true);
      case 'i32':
        return this.#view.getInt32(at, true);
      case 'u32':
        return this.#view.getUint32(at, true);
      case 'f32':
        return this.#view.getFloat32(at, true);
      case 'f64':
        return this.#view.getFloat64(at, true);
      case 'i64':
        return this.#view.getBigInt64(at, true);
      case 'u64':
      case 'pointer':
        return this.#view.getBigUint64(at, true);
    }
  }

  set(name: string, value: number | bigint): void {
    const { offsetBytes: at, type } = this.#field(name);
    switch (type) {
      case 'bool':
      case 'u8':
      case 'i8':
        return this.#view.setUint8(at, Number(value));
      case 'i16':
      case 'u16':
        return this.#view.setUint16(at, Number(value), true);
      case 'i32':
      case 'u32':
        return this.#view.setUint32(at, Number(value), true);
      case 'f32':
        return this.#view.setFloat32(at, Number(value), true);
      case 'f64':
        return this.#view.setFloat64(at, Number(value), true);
      case 'i64':
      case 'u64':
      case 'pointer':
        return this.#view.setBigUint64(at, BigInt(value), true);
    }
  }

  #field(name: string): AbiField {
    if (!this.has(name)) throw new RangeError(`The struct has no field "${name}".`);
    return this.#layout.fields[name]!;
  }
}
