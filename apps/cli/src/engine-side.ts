import { basename } from 'node:path';
import type { Side, SideIdentity } from '@bittern/crossval';
import { generate, type Model, prefill } from '@bittern/engine';
import type { Tokenizer } from '@bittern/tokenizer';
import { VERSION } from './version.ts';

export interface EngineSide extends Side, Disposable {}

/**
 * Our engine as a side of a comparison, on one session that each call begins anew. Dispose it before the model.
 *
 * @param sha256 - of the model's file
 */
export function engineSide(model: Model, tokenizer: Tokenizer, sha256: string): EngineSide {
  const session = model.createSession();
  return {
    identity: engineIdentity(model, sha256),
    async tokenize(text, { parseSpecial }) {
      return tokenizer.encode(text, { parseSpecial });
    },
    async evaluate(ids, { mode, onLogits, signal }) {
      session.reset();
      await prefill(session, ids, mode, {
        signal,
        onLogits: (values, position) => onLogits({ position, values }),
      });
    },
    async decode(ids, { mode, count, onLogits, signal }) {
      session.reset();
      const logits = await prefill(session, ids, mode, { signal });
      const greedy: number[] = [];
      const generated = generate(session, logits, {
        maxTokens: count,
        signal,
        onLogits: (values) => onLogits?.({ position: ids.length - 1 + greedy.length, values }),
      });
      for await (const id of generated) greedy.push(id);
      return greedy;
    },
    async trace(ids, { mode, onTap, signal }) {
      session.reset();
      await prefill(session, ids, mode, { signal, onTap });
    },
    async replay(ids, { mode, onTap, feed, signal }) {
      session.reset();
      await prefill(session, ids, mode, { signal, onTap, feedTap: feed });
    },
    [Symbol.dispose]: () => session.dispose(),
  };
}

/** @param sha256 - of the model's file */
export function engineIdentity(model: Model, sha256: string): SideIdentity {
  return {
    name: 'bittern',
    version: VERSION,
    build: `WebAssembly, ${model.kernelVariant} kernels${model.tl1Kernel ? `, TL1 ${model.tl1Kernel}` : ''}`,
    numerics: model.numerics,
    model: { file: basename(model.gguf.source.name), sha256 },
  };
}
