import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { open, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  openTrace,
  type TraceFile,
  type TraceFooter,
  type TraceHeader,
  traceEntry,
  type TraceTap,
  writeSafetensorsHeader,
} from '@bittern/crossval';
import { codeOf, inFile, UsageError } from './errors.ts';

/**
 * Writes a trace operation by operation as they come, and holds none of them. The folder appears under its name only
 * when `commit` is called; until then it is a neighbour with another name, which `dispose` removes. `add` is synchronous,
 * because a tap's values are valid during the call only.
 */
export class TraceFolder implements Disposable {
  readonly #path: string;
  readonly #temporary: string;
  readonly #keepValues: (tap: TraceTap) => boolean;
  readonly #arrays = new Map<string, readonly number[]>();
  #index: number | undefined;
  #data: number | undefined;
  #taps = 0;
  #dataBytes = 0;

  /**
   * @param keepValues - whether an operation's values are written, or its digest only
   * @throws UsageError if `path` is there and not an empty folder; the system's error if it cannot be written
   */
  constructor(path: string, header: TraceHeader, keepValues: (tap: TraceTap) => boolean) {
    if (!isFree(path)) throw new UsageError(`${path} is there already; --out needs the path of a new folder.`);
    this.#path = path;
    this.#temporary = `${path}.${process.pid}.partial`;
    this.#keepValues = keepValues;
    mkdirSync(this.#temporary, { recursive: true });
    this.#index = openSync(join(this.#temporary, 'trace.jsonl'), 'wx');
    this.#data = openSync(join(this.#temporary, 'data'), 'wx');
    this.#line(header);
  }

  get taps(): number {
    return this.#taps;
  }

  add(tap: TraceTap): void {
    if (tap.data === undefined) throw new Error(`${tap.name} has no values to record.`);
    const bytes = new Uint8Array(tap.data.buffer, tap.data.byteOffset, tap.data.byteLength);
    const digest = createHash('sha256').update(bytes).digest('hex');
    this.#line(traceEntry(tap, tap.data, digest));
    this.#taps++;
    if (!this.#keepValues(tap) || this.#arrays.has(digest)) return;
    this.#arrays.set(digest, [tap.data.length]);
    this.#dataBytes += bytes.length;
    writeAll(this.#data!, bytes);
  }

  /** Gives the folder its name. An array's place in the file is known only now, so the data is copied behind its header. */
  async commit(): Promise<void> {
    const header = writeSafetensorsHeader(this.#arrays);
    const values = { bytes: header.length + this.#dataBytes, arrays: this.#arrays.size };
    this.#line({ taps: this.#taps, values } satisfies TraceFooter);
    this.#close();
    const [data, target] = [join(this.#temporary, 'data'), join(this.#temporary, 'values.safetensors')];
    await writeFile(target, header);
    await pipeline(createReadStream(data), createWriteStream(target, { flags: 'a' }));
    rmSync(data);
    renameSync(this.#temporary, this.#path);
  }

  /** Removes what was written, unless it was committed. Idempotent. */
  [Symbol.dispose](): void {
    this.#close();
    rmSync(this.#temporary, { recursive: true, force: true });
  }

  #line(value: object): void {
    writeAll(this.#index!, new TextEncoder().encode(`${JSON.stringify(value)}\n`));
  }

  #close(): void {
    for (const descriptor of [this.#index, this.#data]) if (descriptor !== undefined) closeSync(descriptor);
    this.#index = undefined;
    this.#data = undefined;
  }
}

/** Opens a trace that {@link TraceFolder} wrote. Errors name the folder. */
export async function openTraceFolder(path: string): Promise<TraceFile> {
  const files = {
    sizeBytes: async (file: string): Promise<number> => (await stat(join(path, file))).size,
    async read(file: string, begin: number, end: number): Promise<Uint8Array> {
      await using handle = await open(join(path, file));
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(end - begin), 0, end - begin, begin);
      return buffer.subarray(0, bytesRead);
    },
  };
  try {
    const trace = await openTrace(files);
    const values: TraceFile['values'] = (tap) =>
      trace.values(tap).catch((error) => Promise.reject(inFile(path, error)));
    return { ...trace, values };
  } catch (error) {
    throw inFile(path, error);
  }
}

function isFree(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    if (codeOf(error) === 'ENOTDIR') return false;
    throw error;
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
}
