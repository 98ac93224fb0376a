import { canonicalJson } from './canonical-json.ts';
import { requireReceipt } from './schema.ts';
import { sha256 } from './sha256.ts';
import {
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

/**
 * Makes a receipt of what a run has measured: names its subjects, adds the digests and checks it against the schema. It
 * judges nothing.
 *
 * @returns the canonical bytes (RFC 8785), and a line's end
 * @throws {ReceiptError} RECEIPTS_INVALID if it is against the schema: nothing was measured, or not by numbers
 */
export async function sealReceipt(content: ReceiptContent): Promise<Uint8Array<ArrayBuffer>> {
  const none = '0'.repeat(64);
  const { prompt, generated } = content;
  const draft = requireReceipt({
    _type: STATEMENT_TYPE,
    subject: subjectsOf(content),
    predicateType: PREDICATE_TYPE,
    predicate: {
      ...content,
      version: 1,
      digest: none,
      prompt: { ...prompt, sha256: none, idsSha256: none },
      generated: { ...generated, idsSha256: none },
    },
  });
  const predicate: ReceiptPredicate = {
    ...draft.predicate,
    prompt: { ...prompt, sha256: await sha256(prompt.text), idsSha256: await idsSha256(prompt.ids) },
    generated: { ...generated, idsSha256: await idsSha256(generated.ids) },
  };
  const digest = await digestOf({ ...draft, predicate });
  const statement: ReceiptStatement = { ...draft, predicate: { ...predicate, digest } };
  return new TextEncoder().encode(`${canonicalJson(statement)}\n`);
}

/** Digest of ids: that of their canonical JSON. */
export function idsSha256(ids: readonly number[]): Promise<string> {
  return sha256(canonicalJson(ids));
}

/** The digest that a statement must have. */
export function digestOf({ predicate, ...statement }: ReceiptStatement): Promise<string> {
  const { digest: _, ...rest } = predicate;
  return sha256(canonicalJson({ ...statement, predicate: rest }));
}

/** What a receipt is about, in the order of its subjects. */
export function subjectsOf({
  model,
  tokenizer,
  kernels,
}: Pick<ReceiptPredicate, 'model' | 'tokenizer' | 'kernels'>): ReceiptSubject[] {
  return [
    ...model.files.map((file) => subject('model', file.name, file.sha256)),
    subject('tokenizer', tokenizer.name, tokenizer.sha256),
    subject('kernels', kernels.binary, kernels.sha256),
  ];
}

function subject(role: ReceiptSubject['annotations']['role'], name: string, digest: string): ReceiptSubject {
  return { name, digest: { sha256: digest }, annotations: { role } };
}
