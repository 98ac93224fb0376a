import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { PARITY_SCHEMA, type ReceiptContent, RECEIPT_SCHEMA, readReceipt, sealReceipt } from '../src/index.ts';
import { type JsonSchema, schemaFault } from '../src/json-schema.ts';
import { EXACT, forge, type Forgery, MIXED, PARITY, SCREENED } from './forge.ts';

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, ownProperties: true });

test.each([
  ['exact', RECEIPT_SCHEMA, EXACT],
  ['screened', RECEIPT_SCHEMA, SCREENED],
  ['mixed', RECEIPT_SCHEMA, MIXED],
  ['parity', PARITY_SCHEMA, PARITY],
])('a validator of JSON Schema by others takes the schema and the receipt: %s', (_, schema, bytes) => {
  const validate = ajv.getSchema(schema.$id!) ?? ajv.compile(schema as AnySchema);
  const value: unknown = JSON.parse(bytes.toString());
  expect({ valid: validate(value), errors: validate.errors }).toEqual({ valid: true, errors: null });
  expect(schemaFault(schema, value)).toBeUndefined();
});

/** In place of each value in turn. */
const STRANGE: readonly unknown[] = [
  null,
  true,
  '',
  'x',
  0,
  1,
  -1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e300,
  [],
  [1],
  {},
  { x: 1 },
];

test.each([
  ['exact', RECEIPT_SCHEMA, EXACT],
  ['parity', PARITY_SCHEMA, PARITY],
])('it and ours agree on every value in every place: %s', (_, schema, bytes) => {
  const validate = ajv.getSchema(schema.$id!) ?? ajv.compile(schema as AnySchema);
  const value: unknown = JSON.parse(bytes.toString());
  let rejected = 0;
  const disagreed: string[] = [];
  const visit = (holder: Record<string, unknown>, key: string): void => {
    const own = holder[key];
    for (const strange of STRANGE) {
      holder[key] = strange;
      const fault = schemaFault(schema, value);
      const agree = (fault === undefined) === validate(value);
      if (!agree) disagreed.push(`${key} = ${JSON.stringify(strange)}: ${fault ?? 'fits'}`);
      if (fault !== undefined) rejected++;
    }
    holder[key] = own;
    if (typeof own !== 'object' || own === null) return;
    // Of long lists the first two items will do.
    const keys = Array.isArray(own) ? Object.keys(own).slice(0, 2) : Object.keys(own);
    for (const inner of keys) visit(own as Record<string, unknown>, inner);
  };
  for (const key of Object.keys(value as object)) visit(value as Record<string, unknown>, key);
  expect(disagreed).toEqual([]);
  expect(rejected).toBeGreaterThan(800);
});

test('the published files are what is exported', async () => {
  const receipt = await import('@bittern/receipts/receipt-v1.schema.json', { with: { type: 'json' } });
  const parity = await import('@bittern/receipts/parity-v1.schema.json', { with: { type: 'json' } });
  expect([receipt.default, parity.default]).toEqual([RECEIPT_SCHEMA, PARITY_SCHEMA]);
});

test('what the two schemas share is the same', () => {
  const { predicate: _predicate, comparison: _comparison, ...shared } = PARITY_SCHEMA.$defs!;
  expect(Object.keys(shared).length).toBeGreaterThan(5);
  expect(RECEIPT_SCHEMA.$defs).toMatchObject(shared);
});

/** What our validator knows, and what says nothing about values. */
const KEYWORDS: ReadonlySet<string> = new Set(
  (
    '$ref anyOf type const enum required properties additionalProperties items minItems maxItems minimum maximum ' +
    'exclusiveMinimum minLength maxLength pattern $schema $id title description $defs'
  ).split(' '),
);

test.each([
  ['receipt', RECEIPT_SCHEMA],
  ['parity', PARITY_SCHEMA],
])('the schema has nothing that our validator does not know: %s', (_, root) => {
  const faults: string[] = [];
  let schemas = 0;
  const walk = (schema: JsonSchema): void => {
    schemas++;
    faults.push(...Object.keys(schema).filter((keyword) => !KEYWORDS.has(keyword)));
    // Ours ignores what stands beside a $ref, and knows no additionalProperties but false.
    if (schema.$ref !== undefined && Object.keys(schema).length > 1) faults.push(schema.$ref);
    if (schema.type === 'object' && schema.additionalProperties !== false) faults.push('additionalProperties');
    const inner = [schema.$defs, schema.properties].flatMap((group) => Object.values(group ?? {}));
    for (const part of [...inner, ...(schema.anyOf ?? []), ...(schema.items ? [schema.items] : [])]) walk(part);
  };
  walk(root);
  expect(faults).toEqual([]);
  expect(schemas).toBeGreaterThan(50);
});

/** What the producer had, of a receipt. */
function contentOf(bytes: Buffer): ReceiptContent {
  const { version: _version, digest: _digest, ...content } = (JSON.parse(bytes.toString()) as Forgery).predicate;
  const { text, ids } = content.prompt;
  const { ids: generated, logitsSha256 } = content.generated;
  return { ...content, prompt: { text, ids }, generated: { ids: generated, logitsSha256 } };
}

/** As JavaScript sees it. */
type Loose = Record<string, unknown> & {
  runs: { prefillMs: unknown; decodeMs: unknown[] }[];
  prompt: { ids: unknown };
  tool: { commit: unknown };
};

describe('on writing', () => {
  test('the same content gives the same bytes', async () => {
    expect(Buffer.from(await sealReceipt(contentOf(EXACT))).toString()).toBe(EXACT.toString());
  });

  test.each<[string, (content: Loose) => unknown]>([
    ['NaN', (content) => (content.runs[0]!.prefillMs = Number.NaN)],
    ['an infinity', (content) => (content.runs[0]!.decodeMs[0] = Infinity)],
    ['undefined', (content) => (content.tool.commit = undefined)],
    ['no runs', (content) => (content.runs = [])],
    ['an unknown field', (content) => Object.assign(content, { verdict: 'pass' })],
    ['ids that are no numbers', (content) => (content.prompt.ids = ['1'])],
  ])('%s is refused', async (_, change) => {
    const content = contentOf(EXACT);
    change(content as unknown as Loose);
    await expect(sealReceipt(content)).rejects.toMatchObject({ name: 'ReceiptError', code: 'RECEIPTS_INVALID' });
  });
});

test('on reading, another version is told as such', () => {
  const other = forge((receipt) =>
    Object.assign(receipt, { predicateType: 'urn:bittern:receipt:v9', predicate: { ...receipt.predicate, more: 1 } }),
  );
  expect(() => readReceipt(other)).toThrow(
    /predicateType is "urn:bittern:receipt:v9", not "urn:bittern:receipt:v1" or "urn:bittern:parity:v1"/,
  );
});
