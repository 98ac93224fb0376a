import { KernelError } from './errors.ts';
import type { Pointer } from './contract.ts';

const PAGE_BYTES = 65_536;
/** 4 GiB, the limit of 32-bit WebAssembly, less one page: the end of an array must be an address, too. */
const MAX_PAGES = 65_535;
const ALIGNMENT_BYTES = 64; // a cache line, and more than v128 wants

interface Block {
  readonly begin: Pointer;
  readonly end: Pointer;
}

/**
 * The linear memory of one set of kernels, with a first-fit allocator for a few large, long-lived arrays: weights,
 * caches, activations. Nothing is allocated per token.
 *
 * Views ({@link KernelMemory.f32} and so on) are valid until the next `allocate`, which may grow the memory.
 */
export class KernelMemory {
  readonly memory: WebAssembly.Memory;
  /** Free blocks by address; no two touch. */
  readonly #free: Block[] = [];
  readonly #allocated = new Map<Pointer, Block>();
  #end: Pointer;

  /** @param options.shared - default false; true for kernels with threads, whose views are over a SharedArrayBuffer */
  constructor(options: { shared?: boolean } = {}) {
    // The first page belongs to the kernels' own constants.
    const descriptor = { initial: 1, maximum: MAX_PAGES, shared: options.shared ?? false };
    try {
      this.memory = new WebAssembly.Memory(descriptor);
    } catch (cause) {
      const message =
        'There is no room for a WebAssembly memory: the process has too many, or too little address space.';
      throw new KernelError('KERNELS_OUT_OF_MEMORY', message, { cause });
    }
    this.#end = PAGE_BYTES;
  }

  /** Bytes of the linear memory, used or not. */
  get sizeBytes(): number {
    return this.memory.buffer.byteLength;
  }

  /**
   * Zeroed bytes at a multiple of 64.
   *
   * @throws {KernelError} KERNELS_OUT_OF_MEMORY
   */
  allocate(sizeBytes: number): Pointer {
    if (!(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0))
      throw new RangeError(`Cannot allocate ${sizeBytes} bytes`);
    const size = Math.max(1, Math.ceil(sizeBytes / ALIGNMENT_BYTES)) * ALIGNMENT_BYTES;
    const index = this.#free.findIndex((block) => block.end - block.begin >= size);
    let begin: Pointer;
    if (index >= 0) {
      const block = this.#free[index]!;
      begin = block.begin;
      if (block.end - begin === size) this.#free.splice(index, 1);
      else this.#free[index] = { begin: begin + size, end: block.end };
      this.bytes(begin, size).fill(0);
    } else {
      begin = this.#end; // memory never handed out yet is zero
      this.#grow(begin + size);
      this.#end = begin + size;
    }
    this.#allocated.set(begin, { begin, end: begin + size });
    return begin;
  }

  /** Gives back what {@link KernelMemory.allocate} returned. */
  free(pointer: Pointer): void {
    const block = this.#allocated.get(pointer);
    if (block === undefined) throw new RangeError(`Address ${pointer} is not allocated`);
    this.#allocated.delete(pointer);
    let { begin, end } = block;
    let index = this.#free.findIndex((other) => other.begin >= end);
    if (index < 0) index = this.#free.length;
    const after = this.#free[index];
    if (after?.begin === end) {
      end = after.end;
      this.#free.splice(index, 1);
    }
    const before = this.#free[index - 1];
    if (before?.end === begin) {
      begin = before.begin;
      index -= 1;
      this.#free.splice(index, 1);
    }
    this.#free.splice(index, 0, { begin, end });
  }

  bytes(pointer: Pointer, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, pointer, length);
  }

  i8(pointer: Pointer, length: number): Int8Array {
    return new Int8Array(this.memory.buffer, pointer, length);
  }

  u16(pointer: Pointer, length: number): Uint16Array {
    return new Uint16Array(this.memory.buffer, pointer, length);
  }

  i32(pointer: Pointer, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, pointer, length);
  }

  f32(pointer: Pointer, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, pointer, length);
  }

  #grow(end: number): void {
    const missing = Math.ceil((end - this.sizeBytes) / PAGE_BYTES);
    if (missing <= 0) return;
    try {
      this.memory.grow(missing);
    } catch (cause) {
      const message = `WebAssembly memory cannot grow to ${end} bytes (it has ${this.sizeBytes}; the limit is 4 GiB). Use a smaller model or context.`;
      throw new KernelError('KERNELS_OUT_OF_MEMORY', message, { cause });
    }
  }
}
