import { isUtf8 } from 'node:buffer';
import {
  type Encoding,
  explainPiece,
  type ResolvedTokenizer,
  type TemplateId,
  type Tokenizer,
} from '@bittern/tokenizer';
import type { Chat } from './chat.ts';
import { printable, table } from './output.ts';
import { identityOf, identityRows, type TokenizerIdentity } from './tokenizer-file.ts';

/** What `bittern tokenize --json` prints for a text. */
export interface TokenizedText {
  readonly tokenizer: TokenizerIdentity;
  /** With a template. */
  readonly template?: RenderedTemplate;
  readonly count: number;
  readonly ids: readonly number[];
  readonly pieces: readonly string[];
  /** By token, from and to in bytes of the UTF-8; null where its bytes are not those of the text. */
  readonly offsets: readonly (readonly [start: number, end: number] | null)[];
  /** With `--explain`, by token. */
  readonly explained?: readonly ExplainedToken[];
}

interface RenderedTemplate {
  readonly id: TemplateId;
  readonly reason: string;
  /** What was tokenized, and where the offsets are. */
  readonly text: string;
  readonly stopIds: readonly number[];
  readonly stopStrings: readonly string[];
}

interface ExplainedToken {
  /** With visible whitespace. */
  readonly piece: string;
  /** What is special about it, for people; empty if nothing is. */
  readonly note: string;
}

export type EncodedText = Encoding & { readonly text: string };

export function describeTokenized(
  loaded: ResolvedTokenizer,
  encoded: EncodedText,
  chat: Chat | undefined,
  withExplanation: boolean,
): TokenizedText {
  const { ids, pieces, offsets, text } = encoded;
  return {
    tokenizer: identityOf(loaded),
    ...(chat && {
      template: {
        id: chat.template.id,
        reason: chat.reason,
        text,
        stopIds: [...chat.template.stopIds],
        stopStrings: chat.template.stopStrings,
      },
    }),
    count: ids.length,
    ids,
    pieces,
    offsets: offsets.map((offset) => offset ?? null),
    ...(withExplanation && { explained: explain(encoded, loaded.tokenizer) }),
  };
}

function explain({ ids, pieces, offsets, text }: EncodedText, { controlTokens }: Tokenizer): ExplainedToken[] {
  const bytes = Buffer.from(text.toWellFormed());
  const noteOf = (id: number, index: number): string => {
    const offset = offsets[index];
    if (offset === undefined) return 'not the bytes of the text';
    const [start, end] = offset;
    if (start === end) return 'added';
    if (controlTokens.get(pieces[index]!) === id) return 'special token';
    const own = bytes.subarray(start, end);
    return isUtf8(own)
      ? ''
      : `part of a character: bytes ${Array.from(own, (byte) => byte.toString(16).padStart(2, '0')).join(' ')}`;
  };
  return ids.map((id, index) => ({ piece: explainPiece(pieces[index]!), note: noteOf(id, index) }));
}

/** @param text - what was tokenized */
export function textOfTokenized(document: TokenizedText, text: string, tokenizer: Tokenizer): string {
  const { template, count, ids, pieces, offsets, explained } = document;
  const quoted = (value: string | undefined): string => printable(JSON.stringify(value));
  const head = identityRows('tokenizer', document.tokenizer);
  if (template) {
    const stopIds = template.stopIds.map((id) => `${id} ${quoted(tokenizer.piece(id))}`);
    head.push(
      ['template', `${template.id} (${printable(template.reason)})`],
      ['text', quoted(template.text)],
      ['ends with', [...stopIds, ...template.stopStrings.map(quoted)].join(', ') || 'nothing'],
    );
  }
  head.push(['count', `${count} tokens for ${Buffer.byteLength(text.toWellFormed())} bytes`]);
  const rows = ids.map((id, index) => {
    const offset = offsets[index];
    const { piece, note } = explained?.[index] ?? { piece: quoted(pieces[index]), note: '' };
    return [String(id), offset ? `${offset[0]}..${offset[1]}` : '-', piece, ...(note === '' ? [] : [note])];
  });
  return `${table(head)}\n${table([['id', 'bytes', 'piece'], ...rows])}`;
}
