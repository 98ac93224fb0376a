import type { LadderFailure } from '../ladder/report.ts';
import type { SideIdentity } from '../side.ts';
import { type Cause, type Finding, rankCauses } from './causes.ts';

/** How a control token is usually spelled: `<|eot_id|>`, `</s>`, `[INST]`. */
const CONTROL = /^(?:<[|/]?[^<>\s]+[|]?>|\[\/?[A-Z]+\])$/;
/** What templates write beside control tokens. */
const ROLE = /^\s*(?:system|user|assistant|human|bitnetassistant|instruction|response|###|:|\n+)\s*:?\s*$/i;

/** Why two lists of ids differ, from the lists and their pieces. */
export function explainTokens(failure: LadderFailure, ours: SideIdentity): Cause[] {
  const { referenceIds, ourIds, referencePieces, ourPieces } = failure.details;
  if (!Array.isArray(referenceIds) || !Array.isArray(ourIds)) return [];
  const theirs: Tokens = { ids: referenceIds as number[], pieces: (referencePieces ?? []) as string[] };
  const mine: Tokens = { ids: ourIds as number[], pieces: (ourPieces ?? []) as string[] };
  return rankCauses(findCauses(theirs, mine), { model: ours.model.file });
}

interface Tokens {
  readonly ids: readonly number[];
  readonly pieces: readonly string[];
}

function findCauses(theirs: Tokens, mine: Tokens): Finding[] {
  const findings: Finding[] = [];
  const add = (id: Finding['id'], strength: number, evidence: string): void => {
    findings.push({ id, strength, evidence });
  };
  const whose = (ourSide: boolean): string => (ourSide ? 'our side' : 'the reference');

  for (const [more, less, ourSide] of [
    [mine, theirs, true],
    [theirs, mine, false],
  ] as const) {
    const extra = more.ids.length - less.ids.length;
    if (extra === 1 && same(more.ids.slice(1), less.ids)) {
      const twice = more.ids[0] === more.ids[1];
      const first = describe(more, 0);
      if (twice) add('doubled-bos', 0.98, `${whose(ourSide)} begins with ${first} twice, the other once`);
      else add('missing-bos', 0.98, `only ${whose(ourSide)} begins with ${first}; all other ids are equal`);
    }
    if (extra === 1 && same(more.ids.slice(0, -1), less.ids)) {
      const last = describe(more, more.ids.length - 1);
      add('trailing-eos', 0.97, `only ${whose(ourSide)} ends with ${last}; all other ids are equal`);
    }
    if (extra >= 1) {
      const body = less.ids.slice(commonPrefix(less.ids, more.ids));
      const at = body.length > 0 ? indexOfList(more.ids, body) : -1;
      const around = more.ids.filter((_, index) => !(index >= at && index < at + body.length));
      const residue = more.pieces.filter((piece, index) => {
        return CONTROL.test(piece) || (ROLE.test(piece) && !less.ids.includes(more.ids[index]!));
      });
      // A control token or role name that only the longer side has.
      const foreign = residue.filter((piece) => !less.pieces.includes(piece));
      if (at >= 0 && around.length >= 2 && foreign.length > 0) {
        add(
          'template-residue',
          0.95,
          `${whose(ourSide)} has the other’s ids with ${foreign.slice(0, 4).map(quoted).join(', ')} around them`,
        );
      }
    }
  }

  const offsets = new Set(mine.ids.map((id, index) => id - (theirs.ids[index] ?? Number.NaN)));
  const [offset] = offsets;
  if (mine.ids.length === theirs.ids.length && offsets.size === 1 && offset !== 0 && mine.ids.length > 1) {
    add('vocabulary-offset', 0.97, `all ${mine.ids.length} ids of our side are the reference’s plus ${offset}`);
  } else if (mine.ids.length === theirs.ids.length && mine.ids.length > 2) {
    // BOS may be set apart from the rest.
    const rest = new Set(mine.ids.slice(1).map((id, index) => id - theirs.ids[index + 1]!));
    const [restOffset] = rest;
    if (rest.size === 1 && restOffset !== 0) {
      add('vocabulary-offset', 0.95, `all ids after the first are the reference’s plus ${restOffset}`);
    }
  }

  const index = commonPrefix(mine.ids, theirs.ids);
  for (const [parsed, spelled, ourSide] of [
    [mine, theirs, true],
    [theirs, mine, false],
  ] as const) {
    const piece = parsed.pieces[index];
    if (piece === undefined || !CONTROL.test(piece)) continue;
    const rest = spelled.pieces.slice(index).join('');
    if (rest.startsWith(piece)) {
      add(
        'special-tokens',
        0.97,
        `${whose(ourSide)} has the token ${quoted(piece)} where the other spells it in ${spelled.ids.length - parsed.ids.length + 1} pieces`,
      );
    }
  }

  const [ourText, theirText] = [mine, theirs].map(({ pieces }) => pieces.join(''));
  if (ourText !== '' && ourText === theirText) {
    add(
      'pre-tokenizer',
      0.9,
      `both spell the same text, in ${mine.ids.length} and ${theirs.ids.length} pieces; first ${quoted(mine.pieces[index] ?? '')} against ${quoted(theirs.pieces[index] ?? '')}`,
    );
  } else if (index > 0 || mine.ids.length !== theirs.ids.length) {
    add(
      'pre-tokenizer',
      0.4,
      `${index} ids at the beginning are equal, of ${mine.ids.length} and ${theirs.ids.length}`,
    );
  } else {
    add('pre-tokenizer', 0.3, 'no id at the beginning is equal');
  }
  if (index === 0 && mine.ids[0] !== theirs.ids[0] && same(mine.ids.slice(1), theirs.ids.slice(1))) {
    add(
      'missing-bos',
      0.9,
      `only the first id differs: ${describe(mine, 0)} and ${describe(theirs, 0)}; BOS is another token`,
    );
  }
  return findings;
}

function describe({ ids, pieces }: Tokens, index: number): string {
  return `${ids[index]}${pieces[index] === undefined ? '' : ` ${quoted(pieces[index])}`}`;
}

function quoted(piece: string): string {
  return JSON.stringify(piece);
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index]);
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) length++;
  return length;
}

/** @returns -1 if the list is not in there */
function indexOfList(list: readonly number[], part: readonly number[]): number {
  for (let at = 0; at + part.length <= list.length; at++) {
    if (part.every((id, index) => id === list[at + index])) return at;
  }
  return -1;
}
