import paritySchema from '../schema/parity-v1.schema.json' with { type: 'json' };
import receiptSchema from '../schema/receipt-v1.schema.json' with { type: 'json' };
import { ReceiptError } from './errors.ts';
import { type JsonSchema, schemaFault } from './json-schema.ts';
import { quoted } from './quoted.ts';
import { PARITY_PREDICATE_TYPE, type ParityStatement, PREDICATE_TYPE, type ReceiptStatement } from './statement.ts';

/** The JSON Schema of receipts of benchmarks, also published as `@bittern/receipts/receipt-v1.schema.json`. */
export const RECEIPT_SCHEMA: JsonSchema = receiptSchema as JsonSchema;

/** That of receipts of comparisons, also published as `@bittern/receipts/parity-v1.schema.json`. */
export const PARITY_SCHEMA: JsonSchema = paritySchema as JsonSchema;

/**
 * A value that is a receipt, whatever it says.
 *
 * @throws {ReceiptError} RECEIPTS_INVALID
 */
export function requireReceipt(value: unknown): ReceiptStatement | ParityStatement {
  const { predicateType } = Object(value) as { predicateType?: unknown };
  const fault =
    typeFault(predicateType) ??
    schemaFault(predicateType === PARITY_PREDICATE_TYPE ? PARITY_SCHEMA : RECEIPT_SCHEMA, value) ??
    dateFault((value as ReceiptStatement | ParityStatement).predicate.created);
  if (fault !== undefined) throw new ReceiptError('RECEIPTS_INVALID', `This is no receipt of version 1: ${fault}.`);
  return value as ReceiptStatement | ParityStatement;
}

/** Told first: in a receipt of another version everything else may differ, too. */
function typeFault(predicateType: unknown): string | undefined {
  const known: readonly string[] = [PREDICATE_TYPE, PARITY_PREDICATE_TYPE];
  if (typeof predicateType !== 'string' || known.includes(predicateType)) return undefined;
  return `its predicateType is ${quoted(predicateType)}, not "${known.join('" or "')}"`;
}

/** The schema's pattern takes the 31st of February, too. */
function dateFault(created: string): string | undefined {
  const time = Date.parse(created);
  if (Number.isFinite(time) && new Date(time).toISOString() === created) return undefined;
  return `$.predicate.created is ${created}, which is no date`;
}
