import type { LadderCase } from '../case.ts';
import type { Side } from '../side.ts';
import { errorOf, sideFailure } from './compare-row-streams.ts';
import type { LadderFailure } from './report.ts';

/** Rung tokens, for one case: the first index at which our ids are not the reference's. */
export async function compareTokens(
  { id, text, parseSpecial, ids }: LadderCase,
  side: Side,
  piece: ((id: number) => string) | undefined,
  signal: AbortSignal | undefined,
): Promise<LadderFailure | undefined> {
  let ours: readonly number[] = [];
  const error = await errorOf(signal, async () => {
    ours = await side.tokenize(text, signal === undefined ? { parseSpecial } : { parseSpecial, signal });
  });
  if (error !== undefined) return { rung: 'tokens', case: id, ...sideFailure('Our side', error) };
  const index = firstDifference(ids, ours);
  if (index === undefined) return undefined;
  const [theirId, ourId] = [ids[index] ?? null, ours[index] ?? null];
  const named = (token: number | null): string =>
    token === null ? 'none' : `${token}${piece === undefined ? '' : ` ${JSON.stringify(piece(token))}`}`;
  const lists = { referenceIds: [...ids], ourIds: [...ours] };
  const pieces = piece && { referencePieces: ids.map((at) => piece(at)), ourPieces: ours.map((at) => piece(at)) };
  return {
    rung: 'tokens',
    code: 'TOKENS_DIFFER',
    case: id,
    message: `Tokens of ${id} differ first at index ${index}: the reference has ${named(theirId)}, ours ${named(ourId)} (${ids.length} and ${ours.length} ids).`,
    details: {
      index,
      reference: theirId,
      ours: ourId,
      referenceLength: ids.length,
      ourLength: ours.length,
      ...lists,
      ...pieces,
    },
  };
}

function firstDifference(a: readonly number[], b: readonly number[]): number | undefined {
  for (let index = 0; index < Math.max(a.length, b.length); index++) if (a[index] !== b[index]) return index;
  return undefined;
}
