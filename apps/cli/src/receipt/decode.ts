import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import {
  argmax,
  generate,
  type KernelCounter,
  type KvType,
  type Logits,
  type Model,
  prefill,
  type Session,
} from '@bittern/engine';
import type { ReceiptRun } from '@bittern/receipts';

/** What is decoded, greedily and past the end of text, so that each run does the same work. */
export interface DecodeTask {
  readonly promptIds: readonly number[];
  /** Ids to generate, at least 2. */
  readonly tokens: number;
  readonly kvType: KvType;
  readonly signal: AbortSignal;
}

/** One run by the clock. */
export interface TimedRun {
  readonly times: ReceiptRun;
  readonly counters: { readonly prefill: readonly KernelCounter[]; readonly decode: readonly KernelCounter[] };
}

/** Decodes by the clock. Reading counters is outside of all times but `wallMs`. */
export async function timedRun(
  model: Model,
  session: Session<Logits>,
  { promptIds, tokens, signal }: DecodeTask,
): Promise<TimedRun> {
  session.reset();
  model.resetCounters();
  const start = performance.now();
  const logits = await prefill(session, promptIds, 'batch-last', { signal });
  const evaluated = performance.now();
  const ids = [argmax(logits)];
  const chosen = performance.now();
  const counted = model.counters();
  model.resetCounters();
  const decodeMs: number[] = [];
  while (ids.length < tokens) {
    const stepStart = performance.now();
    ids.push(argmax(await session.evaluate([ids.at(-1)!], { signal })));
    decodeMs.push(performance.now() - stepStart);
  }
  const wallMs = performance.now() - start;
  return {
    times: { prefillMs: evaluated - start, firstTokenMs: chosen - start, decodeMs, wallMs, ids },
    counters: { prefill: counted, decode: model.counters() },
  };
}

/** Ids, and the digests of the logits that they were chosen from. */
export interface Evidence {
  readonly ids: readonly number[];
  readonly logitsSha256: readonly string[];
}

/** Decodes the same without a clock. */
export async function decodeEvidence(
  session: Session<Logits>,
  { promptIds, tokens, signal }: DecodeTask,
): Promise<Evidence> {
  session.reset();
  const logits = await prefill(session, promptIds, 'batch-last', { signal });
  const ids: number[] = [];
  const logitsSha256: string[] = [];
  const onLogits = (row: Logits): void => void logitsSha256.push(digestOfRow(row));
  for await (const id of generate(session, logits, { maxTokens: tokens, onLogits, signal })) ids.push(id);
  return { ids, logitsSha256 };
}

/** A session of the model's head that holds a task; of a screened head the largest logit is enough. */
export function sessionFor(model: Model, { promptIds, tokens, kvType }: DecodeTask): Session<Logits> {
  const contextLength = promptIds.length + tokens - 1; // the last id is not evaluated
  const session =
    model.head === 'screened'
      ? model.createSession({ contextLength, kvType, head: 'screened', topK: SCREENED_TOP_K })
      : model.createSession({ contextLength, kvType });
  return session as Session<Logits>;
}

export const SCREENED_TOP_K = 1;

function digestOfRow(row: Logits): string {
  const hash = createHash('sha256');
  for (const values of 'ids' in row ? [row.ids, row.logits] : [row]) {
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest('hex');
}
