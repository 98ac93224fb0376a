/** A token that is found in text by its spelling, before any word is formed. */
export interface AddedToken {
  readonly id: number;
  /** Not empty. */
  readonly text: string;
  /** Takes the whitespace before it, after it. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  /** Only where no letter, digit or underscore is next to it. */
  readonly singleWord?: boolean;
}

/** A part of a text: a token that was found, with the whitespace it takes, or what lies between two. Never empty. */
export interface Fragment {
  readonly text: string;
  readonly id?: number;
}

/** Cuts a text into fragments; joined they are the text again. */
export type Splitter = (text: string) => Fragment[];

interface Match {
  readonly start: number;
  readonly token: AddedToken;
}

const utf8 = new TextEncoder();
/** `isspace` of the C library. */
const ASCII_WHITESPACE = /[ \t\n\v\f\r]/;
const WHITESPACE = /\p{White_Space}/u;
/** `\w` of the Rust library `regex`. */
const WORD_CHARACTER = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/**
 * The cut of llama.cpp: each token in turn, longest first (in bytes), takes all its occurrences, from the left, in what
 * the ones before it left over; so a longer token wins even where a shorter one begins further left. The reference
 * leaves the order of equally long ones open (std::sort); here the lower id goes first.
 *
 * Source: llama.cpp src/llama-vocab.cpp, tokenizer_st_partition.
 */
export function longestFirstSplitter(tokens: readonly AddedToken[]): Splitter {
  const inOrder = tokens
    .map((token) => ({ token, lengthBytes: utf8.encode(token.text).length }))
    .toSorted((a, b) => b.lengthBytes - a.lengthBytes || a.token.id - b.token.id)
    .map(({ token }) => token);

  return (text) => {
    let fragments: Fragment[] = text === '' ? [] : [{ text }];
    for (const token of inOrder) {
      if (!text.includes(token.text)) continue;
      fragments = fragments.flatMap((fragment) =>
        fragment.id === undefined
          ? cut(fragment.text, occurrences(fragment.text, token), ASCII_WHITESPACE)
          : [fragment],
      );
    }
    return fragments;
  };
}

/**
 * The cut of the library `tokenizers`: from the left, the longest token at each place.
 *
 * Source: huggingface/tokenizers, tokenizers/src/tokenizer/added_vocabulary.rs, find_matches.
 */
export function leftmostSplitter(tokens: readonly AddedToken[]): Splitter {
  const byText = new Map(tokens.map((token) => [token.text, token]));
  // Of alternatives the first that matches counts, so the longer ones come first.
  const spellings = [...byText.keys()].toSorted((a, b) => b.length - a.length);
  const regex = new RegExp(spellings.map(escapeForRegex).join('|'), 'gu');

  return (text) => {
    if (tokens.length === 0 || text === '') return text === '' ? [] : [{ text }];
    const matches: Match[] = [];
    for (const match of text.matchAll(regex)) {
      const token = byText.get(match[0])!;
      const start = match.index;
      if (!token.singleWord || isAlone(text, start, start + token.text.length)) matches.push({ start, token });
    }
    return cut(text, matches, WHITESPACE);
  };
}

function occurrences(text: string, token: AddedToken): Match[] {
  const found: Match[] = [];
  for (let start = text.indexOf(token.text); start >= 0; start = text.indexOf(token.text, start + token.text.length)) {
    found.push({ start, token });
  }
  return found;
}

function cut(text: string, matches: readonly Match[], whitespace: RegExp): Fragment[] {
  const fragments: Fragment[] = [];
  let end = 0;
  for (const { start: found, token } of matches) {
    let start = found;
    let next = found + token.text.length;
    if (token.lstrip) while (start > end && whitespace.test(text[start - 1]!)) start--;
    if (token.rstrip) while (next < text.length && whitespace.test(text[next]!)) next++;
    if (start > end) fragments.push({ text: text.slice(end, start) });
    fragments.push({ text: text.slice(start, next), id: token.id });
    end = next;
  }
  if (end < text.length) fragments.push({ text: text.slice(end) });
  return fragments;
}

function isAlone(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - 2), start);
  const last = [...before].at(-1) ?? '';
  const after = text.codePointAt(end);
  return !WORD_CHARACTER.test(last) && !(after !== undefined && WORD_CHARACTER.test(String.fromCodePoint(after)));
}

function escapeForRegex(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}
