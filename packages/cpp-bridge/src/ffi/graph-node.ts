import koffi from 'koffi';
import type { AbiStruct } from '../abi-layouts.ts';
import { BridgeError } from '../errors.ts';
import type { Address, NativeLibrary } from './native-library.ts';
import type { Native } from './symbols.ts';

const GGML_TYPE_F32 = 0;
const DIMENSIONS = 4;
/** These compute nothing: they name, cut or copy what another node computed. */
const VIEWS = new Set(['NONE', 'VIEW', 'RESHAPE', 'PERMUTE', 'TRANSPOSE', 'CPY', 'SET_ROWS']);
/** Nodes that the graph's author did not name. */
const UNNAMED = /^node_\d+$/;

/** Reads and writes nodes of a graph while it is computed. */
export class GraphNodes {
  readonly #layout: AbiStruct;
  readonly #name: Native<[Address], string>;
  readonly #opName: Native<[number], string>;
  readonly #contiguous: Native<[Address], boolean>;
  readonly #get: Native<[Address, Uint8Array, bigint, bigint], void>;
  readonly #set: Native<[Address, Uint8Array, bigint, bigint], void>;

  constructor(library: NativeLibrary, layout: AbiStruct) {
    const { symbols } = library;
    this.#layout = layout;
    this.#name = symbols.require('ggml_get_name', 'str', ['void *']);
    this.#opName = symbols.require('ggml_op_name', 'str', ['int']);
    this.#contiguous = symbols.require('ggml_is_contiguous', 'bool', ['void *']);
    this.#get = symbols.require('ggml_backend_tensor_get', 'void', ['void *', 'void *', 'size_t', 'size_t']);
    this.#set = symbols.require('ggml_backend_tensor_set', 'void', ['void *', 'void *', 'size_t', 'size_t']);
  }

  name(tensor: Address): string {
    return this.#name(tensor);
  }

  /** ggml's operation, for example `MUL_MAT`. */
  op(tensor: Address): string {
    return this.#opName(koffi.decode(tensor, this.#offset('op'), 'int') as number);
  }

  /** Names of the weight and the input that a product of matrices has; undefined for another node. */
  product(tensor: Address): { readonly weight: string; readonly input: string } | undefined {
    if (this.op(tensor) !== 'MUL_MAT') return undefined;
    const [weight, input] = [0, 1].map((index) => this.#source(tensor, index));
    return { weight: this.name(weight!), input: this.name(input!) };
  }

  /** Whether the node computes f32 values that its author named. */
  isComputed(tensor: Address): boolean {
    return (
      (koffi.decode(tensor, this.#offset('type'), 'int') as number) === GGML_TYPE_F32 &&
      !VIEWS.has(this.op(tensor)) &&
      !UNNAMED.test(this.name(tensor))
    );
  }

  /** Outermost first; leading ones are left out down to two dimensions. */
  shape(tensor: Address): number[] {
    const dims = this.#four(tensor, 'ne').toReversed();
    const firstLong = dims.findIndex((length) => length !== 1);
    return dims.slice(Math.min(firstLong < 0 ? DIMENSIONS : firstLong, DIMENSIONS - 2));
  }

  /** A copy of an f32 node's values in logical order, also where rows lie apart in memory. */
  read(tensor: Address): Float32Array<ArrayBuffer> {
    const ne = this.#four(tensor, 'ne') as [number, number, number, number];
    const count = ne.reduce((product, length) => product * length, 1);
    const values = new Float32Array(count);
    if (this.#contiguous(tensor)) {
      this.#get(tensor, bytesOf(values), 0n, BigInt(4 * count));
      return values;
    }
    const nb = this.#four(tensor, 'nb') as [number, number, number, number];
    const span = 4 + ne.reduce((sum, length, axis) => sum + (length - 1) * nb[axis]!, 0);
    const raw = new DataView(new ArrayBuffer(span));
    this.#get(tensor, new Uint8Array(raw.buffer), 0n, BigInt(span));
    let at = 0;
    for (let i3 = 0; i3 < ne[3]; i3++) {
      for (let i2 = 0; i2 < ne[2]; i2++) {
        for (let i1 = 0; i1 < ne[1]; i1++) {
          const row = i3 * nb[3] + i2 * nb[2] + i1 * nb[1];
          for (let i0 = 0; i0 < ne[0]; i0++) values[at++] = raw.getFloat32(row + i0 * nb[0], true);
        }
      }
    }
    return values;
  }

  /** @throws BridgeError BRIDGE_UNSUPPORTED where the node has another number of values, or they lie apart */
  write(tensor: Address, values: Float32Array): void {
    const count = this.#four(tensor, 'ne').reduce((product, length) => product * length, 1);
    if (count !== values.length || !this.#contiguous(tensor)) {
      throw new BridgeError(
        'BRIDGE_UNSUPPORTED',
        `Node ${this.name(tensor)} has ${count} values${this.#contiguous(tensor) ? '' : ' apart in memory'}; ${values.length} were given for it.`,
      );
    }
    this.#set(tensor, bytesOf(values), 0n, BigInt(4 * count));
  }

  #four(tensor: Address, field: 'ne' | 'nb'): number[] {
    const type = field === 'ne' ? 'int64_t' : 'uint64_t';
    return Array.from({ length: DIMENSIONS }, (_, axis) =>
      Number(koffi.decode(tensor, this.#offset(field) + 8 * axis, type)),
    );
  }

  #source(tensor: Address, index: number): Address {
    return koffi.decode(tensor, this.#offset('src') + 8 * index, 'void *') as Address;
  }

  #offset(field: string): number {
    return this.#layout.fields[field]!.offsetBytes;
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
