import { setImmediate } from 'node:timers/promises';
import {
  type EvaluateOptions,
  type EvaluationMode,
  generate,
  type GenerateOptions,
  prefill,
  type Session,
} from '@bittern/engine';

// The engine computes a token without giving the event loop a turn, and a Ctrl-C arrives only in one.

/** The engine's `prefill`, interruptible after each token in mode `sequential` and after each micro-batch in the others. */
export async function prefillInTurns(
  session: Session,
  ids: readonly number[],
  mode: EvaluationMode,
  options: Omit<EvaluateOptions, 'logits'>,
): Promise<Float32Array> {
  if (mode !== 'sequential' || ids.length === 0) return prefill(session, ids, mode, options);
  let logits: Float32Array = new Float32Array();
  for (const id of ids) {
    await setImmediate();
    logits = await prefill(session, [id], mode, options);
  }
  return logits;
}

/** The engine's `generate`, interruptible after each token. */
export async function* generateInTurns(
  session: Session,
  logits: Float32Array,
  options: GenerateOptions,
): AsyncGenerator<number, void, undefined> {
  for await (const id of generate(session, logits, options)) {
    yield id;
    await setImmediate();
  }
}
