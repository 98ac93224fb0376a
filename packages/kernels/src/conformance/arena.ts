import type { Kernels, Pointer } from '../contract.ts';
import type { KernelMemory } from '../memory.ts';
import { referenceKernels } from '../reference/kernels.ts';

/** An implementation under test, and the memory that its pointers point into. */
export interface KernelsUnderTest extends Kernels {
  readonly memory: KernelMemory;
  /** Called with the scratch that a case needs, for kernels that have their own for each thread. */
  reserveScratch?(sizeBytes: number): void;
  /** Called before results are compared, for kernels that record calls. */
  flush?(): void;
}

/** An implementation differs from the reference. */
export class ConformanceError extends Error {
  override readonly name = 'ConformanceError';
}

export interface ConformanceCase {
  readonly name: string;
  /**
   * Runs the operation on the reference and on `kernels` over the same bytes, and compares every byte of every array,
   * inputs and surroundings included: floats by their bits, NaN equal to NaN.
   *
   * @returns the number of values compared, more than 0
   * @throws {ConformanceError} naming the array, the index and both values
   */
  run(kernels: KernelsUnderTest): number;
}

type ElementType = 'f32' | 'f16' | 'i32' | 'i8' | 'u8';
const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = { f32: 4, f16: 2, i32: 4, i8: 1, u8: 1 };
const GUARD_BYTES = 64;
const GUARD_VALUE = 0xa5;

interface ArenaArray {
  readonly name: string;
  readonly type: ElementType;
  readonly pointer: Pointer;
  readonly length: number;
  readonly compared: boolean;
}

/** Arrays of one case, with guard bytes between them. */
export class Arena {
  readonly #memory: KernelMemory;
  readonly arrays: ArenaArray[] = [];
  constructor(memory: KernelMemory) {
    this.#memory = memory;
  }

  input(name: string, type: ElementType, values: ArrayLike<number>): Pointer {
    const pointer = this.#add(name, type, values.length, true);
    if (type === 'f32') this.#memory.f32(pointer, values.length).set(values);
    else if (type === 'f16') this.#memory.u16(pointer, values.length).set(values);
    else if (type === 'i32') this.#memory.i32(pointer, values.length).set(values);
    else this.#memory.bytes(pointer, values.length).set(Uint8Array.from(values));
    return pointer;
  }

  /** Starts as a pattern that no kernel writes by chance. */
  output(name: string, type: ElementType, length: number): Pointer {
    return this.#add(name, type, length, true);
  }

  /** For a result that an operation returns instead of writing it. */
  set(output: Pointer, value: number): void {
    this.#memory.f32(output, 1)[0] = value;
  }

  /** Not compared, but guarded. */
  scratch(lengthBytes: number): Pointer {
    return this.#add('scratch', 'u8', lengthBytes, false);
  }

  #add(name: string, type: ElementType, length: number, compared: boolean): Pointer {
    const sizeBytes = length * ELEMENT_BYTES[type];
    const guarded = this.#memory.allocate(sizeBytes + 2 * GUARD_BYTES);
    this.#memory.bytes(guarded, sizeBytes + 2 * GUARD_BYTES).fill(GUARD_VALUE);
    const pointer = guarded + GUARD_BYTES;
    this.arrays.push({ name, type, pointer, length, compared });
    return pointer;
  }

  snapshot(): Uint8Array[] {
    return this.arrays.map((array) => this.#guarded(array).slice());
  }

  restore(snapshot: readonly Uint8Array[]): void {
    for (const [index, array] of this.arrays.entries()) this.#guarded(array).set(snapshot[index]!);
  }

  free(): void {
    for (const { pointer } of this.arrays) this.#memory.free(pointer - GUARD_BYTES);
  }

  #guarded({ pointer, type, length }: ArenaArray): Uint8Array {
    return this.#memory.bytes(pointer - GUARD_BYTES, length * ELEMENT_BYTES[type] + 2 * GUARD_BYTES);
  }
}

export function conformanceCase(name: string, prepare: (arena: Arena) => (kernels: Kernels) => void): ConformanceCase {
  return {
    name,
    run(kernels) {
      const arena = new Arena(kernels.memory);
      try {
        const operation = prepare(arena);
        kernels.reserveScratch?.(Math.max(...arena.arrays.map(({ compared, length }) => (compared ? 0 : length))));
        const before = arena.snapshot();
        operation(referenceKernels(kernels.memory));
        const expected = arena.snapshot();
        arena.restore(before);
        operation(kernels);
        kernels.flush?.();
        return compare(name, arena.arrays, arena.snapshot(), expected);
      } finally {
        arena.free();
      }
    },
  };
}

function compare(name: string, arrays: readonly ArenaArray[], actual: Uint8Array[], expected: Uint8Array[]): number {
  let compared = 0;
  for (const [index, array] of arrays.entries()) {
    const a = actual[index]!;
    const e = expected[index]!;
    const end = a.length - GUARD_BYTES;
    const outside = a.findIndex((byte, at) => (at < GUARD_BYTES || at >= end) && byte !== GUARD_VALUE);
    if (outside >= 0)
      throw new ConformanceError(`${name}: wrote outside of ${array.name}, at byte ${outside - GUARD_BYTES}`);
    if (!array.compared) continue;
    const got = elements(array.type, a.slice(GUARD_BYTES, end));
    const want = elements(array.type, e.slice(GUARD_BYTES, end));
    for (let i = 0; i < array.length; i++) {
      if (!Object.is(got[i], want[i])) {
        throw new ConformanceError(`${name}: ${array.name}[${i}] is ${got[i]}, the reference gives ${want[i]}`);
      }
    }
    compared += array.length;
  }
  if (!(compared > 0)) throw new ConformanceError(`${name}: nothing was compared`);
  return compared;
}

function elements(type: ElementType, bytes: Uint8Array<ArrayBuffer>): ArrayLike<number> {
  if (type === 'f32') return new Float32Array(bytes.buffer);
  if (type === 'f16') return new Uint16Array(bytes.buffer);
  if (type === 'i32') return new Int32Array(bytes.buffer);
  return type === 'i8' ? new Int8Array(bytes.buffer) : bytes;
}
