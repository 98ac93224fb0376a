import { canonicalJson } from './canonical-json.ts';
import { ReceiptError } from './errors.ts';
import { MOST_RECEIPT_BYTES } from './read.ts';
import { requireReceipt } from './schema.ts';
import { sha256 } from './sha256.ts';
import {
  PARITY_PREDICATE_TYPE,
  type ParityComparison,
  type ParityPredicate,
  type ParityStatement,
  PREDICATE_TYPE,
  type ReceiptPredicate,
  type ReceiptStatement,
  type ReceiptSubject,
  STATEMENT_TYPE,
} from './statement.ts';

/** What a run has measured. Digests that follow from the rest are added by {@link sealReceipt}. */
export type ReceiptContent = Omit<ReceiptPredicate, 'version' | 'digest' | 'prompt' | 'generated'> & {
  readonly prompt: { readonly text: string; readonly ids: readonly number[] };
  readonly generated: { readonly ids: readonly number[]; readonly logitsSha256: readonly string[] };
};

/** What a comparison has found. */
export type ParityContent = Omit<ParityPredicate, 'version' | 'digest' | 'comparisons'> & {
  readonly comparisons: readonly (Omit<ParityComparison, 'prompts'> & {
    readonly prompts: readonly { readonly mode: ParityPrompt['mode']; readonly ids: readonly number[] }[];
  })[];
};
type ParityPrompt = ParityComparison['prompts'][number];

/** A signature's envelope has it in base64. */
const MOST_SEALED_BYTES = (MOST_RECEIPT_BYTES / 4) * 3 - 4096;

/** Takes the place of digests until they are known. */
const NO_DIGEST = '0'.repeat(64);

/**
 * Makes a receipt of what a run has measured: names its subjects, adds the digests and checks it against the schema. It
 * judges nothing.
 *
 * @returns the canonical bytes (RFC 8785), and a line's end
 * @throws {ReceiptError} RECEIPTS_INVALID if it is against the schema: nothing was measured, or not by numbers;
 *   RECEIPTS_TOO_LARGE if nobody could read it
 */
export async function sealReceipt(content: ReceiptContent): Promise<Uint8Array<ArrayBuffer>> {
  const { prompt, generated } = content;
  const draft: ReceiptStatement = {
    _type: STATEMENT_TYPE,
    subject: subjectsOf(content),
    predicateType: PREDICATE_TYPE,
    predicate: {
      ...content,
      version: 1,
      digest: NO_DIGEST,
      prompt: { ...prompt, sha256: NO_DIGEST, idsSha256: NO_DIGEST },
      generated: { ...generated, idsSha256: NO_DIGEST },
    },
  };
  requireReceipt(draft);
  return sealed(draft, {
    ...draft.predicate,
    prompt: { ...prompt, sha256: await sha256(prompt.text), idsSha256: await idsSha256(prompt.ids) },
    generated: { ...generated, idsSha256: await idsSha256(generated.ids) },
  });
}

/**
 * The same of what a comparison has found.
 *
 * @throws {ReceiptError} RECEIPTS_INVALID if it is against the schema: there was no comparison
 */
export async function sealParity(content: ParityContent): Promise<Uint8Array<ArrayBuffer>> {
  const comparisons = await Promise.all(
    content.comparisons.map(async ({ prompts, ...comparison }) => ({
      ...comparison,
      prompts: await Promise.all(
        prompts.map(async ({ mode, ids }) => ({ mode, tokens: ids.length, idsSha256: await idsSha256(ids) })),
      ),
    })),
  );
  const draft: ParityStatement = {
    _type: STATEMENT_TYPE,
    subject: subjectsOf(content),
    predicateType: PARITY_PREDICATE_TYPE,
    predicate: { ...content, version: 1, digest: NO_DIGEST, comparisons },
  };
  requireReceipt(draft);
  return sealed(draft, draft.predicate);
}

async function sealed(
  draft: ReceiptStatement | ParityStatement,
  predicate: ReceiptPredicate | ParityPredicate,
): Promise<Uint8Array<ArrayBuffer>> {
  const digest = await digestOf({ ...draft, predicate });
  const bytes = new TextEncoder().encode(`${canonicalJson({ ...draft, predicate: { ...predicate, digest } })}\n`);
  if (bytes.length <= MOST_SEALED_BYTES) return bytes;
  const message = `The receipt would have ${bytes.length} bytes, more than the ${MOST_SEALED_BYTES} that are read again.`;
  throw new ReceiptError('RECEIPTS_TOO_LARGE', `${message} Take fewer tokens or runs.`);
}

/** Digest of ids: that of their canonical JSON. */
export function idsSha256(ids: readonly number[]): Promise<string> {
  return sha256(canonicalJson(ids));
}

/** The digest that a statement must have. */
export function digestOf({
  predicate,
  ...statement
}: Omit<ReceiptStatement | ParityStatement, 'predicate'> & {
  readonly predicate: ReceiptPredicate | ParityPredicate;
}): Promise<string> {
  const { digest: _, ...rest } = predicate;
  return sha256(canonicalJson({ ...statement, predicate: rest }));
}

/** What a receipt is about, in the order of its subjects. */
export function subjectsOf({
  model,
  tokenizer,
  kernels,
}: Pick<ParityPredicate, 'model' | 'tokenizer' | 'kernels'>): ReceiptSubject[] {
  return [
    ...model.files.map((file) => subject('model', file.name, file.sha256)),
    subject('tokenizer', tokenizer.name, tokenizer.sha256),
    subject('kernels', kernels.binary, kernels.sha256),
  ];
}

function subject(role: ReceiptSubject['annotations']['role'], name: string, digest: string): ReceiptSubject {
  return { name, digest: { sha256: digest }, annotations: { role } };
}
