import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { UsageError } from './errors.ts';

/**
 * Writes a matrix f32 [rows, columns] as a NumPy file, format 1.0, row by row as the rows come. The file appears under
 * its name only when `commit` is called; until then it is a neighbour with another name, which `dispose` removes.
 * Synchronous, because an engine's row is valid only during the call that hands it over.
 */
export class NpyFile implements Disposable {
  readonly #path: string;
  readonly #temporary: string;
  readonly #columns: number;
  #missing: number;
  #descriptor: number | undefined;

  /** @throws UsageError if `path` is there and not a regular file; the system's error if it cannot be written */
  constructor(path: string, rows: number, columns: number) {
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) {
      throw new UsageError(`${path} is not a regular file; --npy needs the path of a file to write.`);
    }
    this.#path = path;
    this.#temporary = `${path}.${process.pid}.partial`;
    this.#columns = columns;
    this.#missing = rows;
    this.#descriptor = openSync(this.#temporary, 'wx');
    this.#write(header(rows, columns));
  }

  append(row: Float32Array): void {
    if (row.length !== this.#columns || this.#missing === 0) {
      throw new Error(`A row of ${row.length} values does not belong into ${this.#path}.`);
    }
    this.#write(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
    this.#missing -= 1;
  }

  /** Gives the file its name, in place of one that may be there. */
  commit(): void {
    if (this.#missing > 0) throw new Error(`${this.#path} lacks ${this.#missing} rows.`);
    this.#close();
    renameSync(this.#temporary, this.#path);
  }

  /** Removes what was written, unless it was committed. Idempotent. */
  [Symbol.dispose](): void {
    this.#close();
    rmSync(this.#temporary, { force: true });
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#descriptor!, bytes, done);
  }

  #close(): void {
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** Magic, version, u16 length, and a Python literal padded with spaces so that the data begins at a multiple of 64. */
function header(rows: number, columns: number): Uint8Array {
  const literal = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  const lengthBytes = Math.ceil((10 + literal.length + 1) / 64) * 64 - 10;
  const text = `\u0093NUMPY\u0001\u0000..${literal.padEnd(lengthBytes - 1)}\n`;
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  new DataView(bytes.buffer).setUint16(8, lengthBytes, true);
  return bytes;
}
