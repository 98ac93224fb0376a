import schema from '../schema/receipt-v1.schema.json' with { type: 'json' };
import { ReceiptError } from './errors.ts';
import { type JsonSchema, schemaFault } from './json-schema.ts';
import { PREDICATE_TYPE, type ReceiptStatement } from './statement.ts';

/** The JSON Schema of receipts, also published as `@bittern/receipts/receipt-v1.schema.json`. */
export const RECEIPT_SCHEMA: JsonSchema = schema as JsonSchema;

/**
 * A value that is a receipt, whatever it says.
 *
 * @throws {ReceiptError} RECEIPTS_INVALID
 */
export function requireReceipt(value: unknown): ReceiptStatement {
  const fault = versionFault(value) ?? schemaFault(RECEIPT_SCHEMA, value);
  if (fault !== undefined) throw new ReceiptError('RECEIPTS_INVALID', `This is no receipt of version 1: ${fault}.`);
  return value as ReceiptStatement;
}

/** Told first: in a receipt of another version everything else may differ, too. */
function versionFault(value: unknown): string | undefined {
  const { predicateType } = Object(value) as Partial<ReceiptStatement>;
  if (typeof predicateType !== 'string' || (predicateType as string) === PREDICATE_TYPE) return undefined;
  return `its predicateType is ${JSON.stringify((predicateType as string).slice(0, 100))}, not "${PREDICATE_TYPE}"`;
}
