import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type EvaluationMode, generate, type OnTap, prefill, type Session } from '../src/index.ts';

/** What an engine computes from one prompt, every row of logits as its digest. */
export interface Computed {
  /** Positions of the rows, in the order in which they came. */
  readonly positions: readonly number[];
  readonly rows: readonly string[];
  readonly greedy: readonly number[];
  /** The row from which each greedy id was taken. */
  readonly generated: readonly string[];
}

/** One node of a trace, as recorded and as compared. */
export interface TraceNode {
  readonly name: string;
  readonly occurrence: number;
  readonly step: number;
  readonly shape: readonly number[];
  readonly sha256: string;
}

/** SHA-256 of the f32 little-endian bytes; equal digests mean equal bits. */
export function digest(values: Float32Array): string {
  return sha256(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function readBytes(url: URL): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(url));
}

export function readJson<T>(url: URL): T {
  return JSON.parse(readFileSync(url, 'utf8')) as T;
}

/** Evaluates a prompt from an empty session and continues it greedily. */
export async function compute(
  session: Session,
  ids: readonly number[],
  mode: EvaluationMode,
  greedyCount: number,
): Promise<Computed> {
  const positions: number[] = [];
  const rows: string[] = [];
  const greedy: number[] = [];
  const generated: string[] = [];
  session.reset();
  const logits = await prefill(session, ids, mode, {
    onLogits(row, position) {
      // Evaluating one token always gives its row, so `sequential` has all of them.
      positions.push(position);
      rows.push(digest(row));
    },
  });
  const options = { maxTokens: greedyCount, onLogits: (row: Float32Array) => generated.push(digest(row)) };
  for await (const id of generate(session, logits, options)) greedy.push(id);
  return { positions, rows, greedy, generated };
}

/** The positions whose logits a mode gives. */
export function positionsOf(mode: EvaluationMode, length: number): number[] {
  return mode === 'batch-last' ? [length - 1] : Array.from({ length }, (_, position) => position);
}

export async function trace(session: Session, ids: readonly number[], mode: EvaluationMode): Promise<TraceNode[]> {
  const nodes: TraceNode[] = [];
  const onTap: OnTap = ({ name, occurrence, step, shape, data }) => {
    nodes.push({ name, occurrence, step, shape: [...shape], sha256: digest(data) });
  };
  session.reset();
  await prefill(session, ids, mode, { onTap });
  return nodes;
}
