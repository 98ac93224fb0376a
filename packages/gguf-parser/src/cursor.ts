import { swapNumbers } from './byte-order.ts';
import type { GgufErrorCode } from './errors.ts';
import { GgufError } from './errors.ts';
import type { GgufLimits } from './limits.ts';
import type { GgufSource } from './source.ts';
import { readExactly } from './source.ts';
import { decodeText, StringTable } from './string-table.ts';

const WINDOW_BYTES = 256 * 1024;

/** Not an error: tells `attempt` how far the window must reach. */
class WindowTooSmall extends Error {
  readonly endBytes: number;

  constructor(endBytes: number) {
    super();
    this.endBytes = endBytes;
  }
}

/**
 * Reads the header in order. Every read of the header goes through here, so every length is checked here, once,
 * against the size of the source and against `limits.headerBytes`, before anything is allocated.
 *
 * Only a window of the file is in memory. Reads are synchronous, because a vocabulary has 400,000 strings: one that
 * would leave the window throws, and `attempt` moves and widens the window and reads the same entry again. The window
 * at least doubles each time, so rereading costs less than reading the entry once more, and the window stays below
 * twice the longest entry (or WINDOW_BYTES).
 */
export class HeaderCursor {
  readonly limits: GgufLimits;
  /** What is being read, for messages: `metadata entry 3`, `value of "general.name"`. */
  reading = 'the header';
  /** Of every number; known once the version has been read. */
  littleEndian = true;

  readonly #source: GgufSource;
  readonly #signal: AbortSignal | undefined;
  #window: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  /** Where the window starts in the source. */
  #windowStart = 0;
  /** Where the next read starts in the source. */
  #position = 0;

  constructor(source: GgufSource, limits: GgufLimits, signal: AbortSignal | undefined) {
    this.limits = limits;
    this.#source = source;
    this.#signal = signal;
  }

  get positionBytes(): number {
    return this.#position;
  }

  get sourceSizeBytes(): number {
    return this.#source.sizeBytes;
  }

  /**
   * Runs `read` until its bytes are in the window; so it may run more than once. The signal is looked at between
   * entries and between reads of the source, not inside an entry.
   */
  async attempt<T>(reading: string, read: () => T): Promise<T> {
    this.#signal?.throwIfAborted();
    const start = this.#position;
    for (;;) {
      this.reading = reading;
      this.#position = start;
      try {
        return read();
      } catch (error) {
        if (!(error instanceof WindowTooSmall)) {
          throw error;
        }
        await this.#widen(start, error.endBytes);
      }
    }
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), this.littleEndian);
  }

  i16(): number {
    return this.#view.getInt16(this.#take(2), this.littleEndian);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), this.littleEndian);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), this.littleEndian);
  }

  f32(): number {
    return this.#view.getFloat32(this.#take(4), this.littleEndian);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), this.littleEndian);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), this.littleEndian);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), this.littleEndian);
  }

  /**
   * A u64 that counts or places something. Above 2^53 it is rounded and no safe integer, and above the size of any
   * file: the checks that every count, dimension and offset goes through refuse it either way.
   */
  count(): number {
    const at = this.#take(8);
    const first = this.#view.getUint32(at, this.littleEndian);
    const second = this.#view.getUint32(at + 4, this.littleEndian);
    return this.littleEndian ? first + second * 2 ** 32 : second + first * 2 ** 32;
  }

  /** A key or a tensor's name: a u64 length and that many bytes of UTF-8. Other bytes are an error, never replaced. */
  name(limit: 'keyBytes' | 'tensorNameBytes'): string {
    const start = this.#position;
    const length = this.#skipString(limit);
    const end = this.#position - this.#windowStart;
    try {
      return decodeText(this.#window.subarray(end - length, end));
    } catch (cause) {
      const advice = 'The file is damaged or its converter wrote raw bytes; convert the model again.';
      throw this.error('GGUF_BAD_UTF8', 'A name is not UTF-8', advice, start, { cause });
    }
  }

  /** `count` strings whose bytes may be anything. */
  strings(count: number): StringTable {
    const start = this.#position;
    for (let index = 0; index < count; index++) {
      this.#skipString('stringBytes');
    }
    const bytes = this.#window.slice(start - this.#windowStart, this.#position - this.#windowStart);
    return new StringTable(bytes, count, this.littleEndian, this.reading);
  }

  /** The next bytes as numbers of `width` bytes in little-endian order: a copy, in a buffer of its own. */
  numbers(count: number, width: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(count * width);
    const bytes = this.#window.slice(at, at + count * width);
    if (!this.littleEndian) {
      swapNumbers(bytes, width);
    }
    return bytes;
  }

  /** Refuses `count` things of at least `minBytes` bytes each if the source has no room for them. */
  requireBytes(count: number, minBytes: number): void {
    const left = this.#source.sizeBytes - this.#position;
    if (!(count * minBytes <= left)) {
      throw this.error(
        'GGUF_TRUNCATED',
        `At least ${count * minBytes} more bytes are needed and ${left} are left`,
        'The file is cut short or a length in it is damaged; download or convert it again.',
      );
    }
  }

  requireLimit(limit: keyof GgufLimits, value: number): void {
    if (!(value <= this.limits[limit])) {
      throw this.error(
        'GGUF_LIMIT_EXCEEDED',
        `${value} is over the limit of ${this.limits[limit]} for ${limit}`,
        `If you trust the file, raise limits.${limit}.`,
        this.#position,
        { limit },
      );
    }
  }

  /** For `throw`: what is wrong, where, what to do. */
  error(
    code: GgufErrorCode,
    what: string,
    advice: string,
    offsetBytes: number = this.#position,
    options?: ErrorOptions & { limit?: keyof GgufLimits },
  ): GgufError {
    const where = `while reading ${this.reading} (at byte ${offsetBytes} of ${this.#source.name})`;
    return new GgufError(code, `${what}, ${where}. ${advice}`, options);
  }

  /** Moves over a string and says how many bytes it has. */
  #skipString(limit: 'keyBytes' | 'stringBytes' | 'tensorNameBytes'): number {
    const length = this.count();
    this.requireBytes(length, 1);
    this.requireLimit(limit, length);
    this.#take(length);
    return length;
  }

  /** Moves over the next bytes and says where in the window they start. */
  #take(length: number): number {
    const end = this.#position + length;
    const windowEnd = this.#windowStart + this.#window.byteLength;
    if (end > windowEnd) {
      this.requireBytes(length, 1);
      this.requireLimit('headerBytes', end);
      throw new WindowTooSmall(end);
    }
    const at = this.#position - this.#windowStart;
    this.#position = end;
    return at;
  }

  /** Drops what lies before `start` and reads on, at least up to `end`. */
  async #widen(start: number, end: number): Promise<void> {
    const kept = this.#window.subarray(start - this.#windowStart);
    const wantedBytes = Math.max(WINDOW_BYTES, 2 * kept.byteLength, end - start);
    const windowBytes = Math.min(wantedBytes, this.#source.sizeBytes - start, this.limits.headerBytes - start);
    const readStart = start + kept.byteLength;
    const added = await readExactly(this.#source, readStart, windowBytes - kept.byteLength, this.#signal);
    const window = new Uint8Array(windowBytes);
    window.set(kept);
    window.set(added, kept.byteLength);
    this.#window = window;
    this.#view = new DataView(window.buffer);
    this.#windowStart = start;
  }
}
