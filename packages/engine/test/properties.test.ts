import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { loadModel, NUMERICS, type Session } from '../src/index.ts';
import { digest, readBytes } from './parity.ts';
import { setValue } from './patch.ts';

const MICRO_BATCH = 512;
const MAX_LENGTH = 1700;
/** A small model that is quick, and has two numerics for the scores: of one token and of several. */
const ONE_HEAD = readBytes(new URL('vectors/one-head.gguf', import.meta.url));

/** Digests of the rows that one or several calls give. */
async function rows(
  session: Session,
  pieces: readonly (readonly number[])[],
  logits: 'all' | 'last',
): Promise<string[]> {
  const digests: string[] = [];
  const onLogits = (row: Float32Array): unknown => digests.push(digest(row));
  session.reset();
  for (const piece of pieces) await session.evaluate(piece, { logits, onLogits });
  return digests;
}

// Only at multiples of 512: within a micro-batch the arithmetic depends on how many tokens are evaluated together
// (numerics, sections 5.3 and 5.4), so a prompt of 10 tokens gives other bits than 4 and then 6, as it does in bitnet.cpp.
test.each(NUMERICS)(
  'a prompt split at multiples of 512 gives the same bits, %s',
  { timeout: 60_000 },
  async (numerics) => {
    using model = await loadModel(setValue(ONE_HEAD, 'bitnet-25.context_length', 2048), { numerics });
    using session = model.createSession();
    const prompts = fc.array(fc.nat(model.config.vocabSize - 1), {
      minLength: MICRO_BATCH + 1,
      maxLength: MAX_LENGTH,
      size: 'max',
    });
    const cuts = fc.subarray([MICRO_BATCH, 2 * MICRO_BATCH, 3 * MICRO_BATCH], { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(prompts, cuts, fc.constantFrom('all' as const, 'last' as const), async (ids, at, logits) => {
        const inside = at.filter((cut) => cut < ids.length);
        fc.pre(inside.length > 0);
        const bounds = [0, ...inside, ids.length];
        const pieces = bounds.slice(1).map((end, index) => ids.slice(bounds[index], end));
        const whole = await rows(session, [ids], logits);
        const split = await rows(session, pieces, logits);
        expect(whole).toHaveLength(logits === 'all' ? ids.length : 1);
        expect(split).toHaveLength(logits === 'all' ? ids.length : pieces.length);
        expect(logits === 'all' ? split : split.slice(-1)).toEqual(whole);
      }),
      { numRuns: 4, interruptAfterTimeLimit: 40_000, markInterruptAsFailure: true },
    );
  },
);
