import { CrossvalError } from '../errors.ts';
import { floatsOf, readSafetensorsHeader, safetensorsHeaderBytes } from '../safetensors.ts';
import { sha256 } from '../sha256.ts';
import { elementsOf } from './tap-layout.ts';
import { parseTraceIndex, type TraceEntry } from './trace-index.ts';
import type { TracedTap, TraceView } from './trace-view.ts';

const MAX_INDEX_BYTES = 256 * 2 ** 20;

/** The two files of a trace, read in pieces. */
export interface TraceFiles {
  sizeBytes(file: TraceFileName): Promise<number>;
  /** The bytes from `begin` to before `end`. */
  read(file: TraceFileName, begin: number, end: number): Promise<Uint8Array>;
}

export type TraceFileName = 'trace.jsonl' | 'values.safetensors';

/** A trace from files. An array is read when it is asked for, and checked against its digest. */
export interface TraceFile extends TraceView {
  readonly taps: readonly TraceEntry[];
}

/**
 * Opens a trace. Only the index is held in memory.
 *
 * @throws CrossvalError CROSSVAL_BAD_TRACE, CROSSVAL_UNSUPPORTED_VERSION, CROSSVAL_TRACE_CUT, CROSSVAL_TRACE_EMPTY,
 *   CROSSVAL_BAD_SAFETENSORS; `values` also CROSSVAL_DIGEST_MISMATCH
 */
export async function openTrace(files: TraceFiles): Promise<TraceFile> {
  const indexBytes = await files.sizeBytes('trace.jsonl');
  if (indexBytes > MAX_INDEX_BYTES) {
    throw new CrossvalError(
      'CROSSVAL_BAD_TRACE',
      `trace.jsonl has ${indexBytes} bytes, more than ${MAX_INDEX_BYTES}. Trace a shorter prompt.`,
    );
  }
  const { header, entries, footer } = parseTraceIndex(
    new TextDecoder().decode(await files.read('trace.jsonl', 0, indexBytes)),
  );
  const fileBytes = await files.sizeBytes('values.safetensors');
  if (fileBytes !== footer.values.bytes) {
    throw new CrossvalError(
      'CROSSVAL_TRACE_CUT',
      `values.safetensors has ${fileBytes} bytes; trace.jsonl says ${footer.values.bytes}. Record the trace again.`,
    );
  }
  const start = safetensorsHeaderBytes(await files.read('values.safetensors', 0, 8), fileBytes);
  const arrays = readSafetensorsHeader(await files.read('values.safetensors', 0, start), fileBytes);
  if (arrays.size !== footer.values.arrays) {
    throw new CrossvalError(
      'CROSSVAL_BAD_TRACE',
      `values.safetensors has ${arrays.size} arrays; trace.jsonl says ${footer.values.arrays}. Record the trace again.`,
    );
  }
  return {
    side: header.side,
    mode: header.mode,
    ids: header.ids,
    taps: entries,
    async values(tap: TracedTap) {
      const array = arrays.get(tap.sha256 ?? '');
      if (array === undefined) return undefined;
      const bytes = await files.read('values.safetensors', array.begin, array.end);
      const digest = await sha256(bytes);
      if (digest !== tap.sha256 || bytes.length !== 4 * elementsOf(tap.shape)) {
        throw new CrossvalError(
          'CROSSVAL_DIGEST_MISMATCH',
          `values.safetensors: array ${tap.sha256} of ${tap.name} has SHA-256 ${digest} and ${bytes.length} bytes. Record the trace again.`,
        );
      }
      return floatsOf(bytes);
    },
  };
}
