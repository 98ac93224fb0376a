import { quoted } from './quoted.ts';

/**
 * A JSON Schema (draft 2020-12) of the few keywords that a receipt's needs. `additionalProperties` can only be false,
 * `$ref` stands alone and leads into `$defs`.
 */
export interface JsonSchema {
  readonly $schema?: string;
  readonly $id?: string;
  readonly title?: string;
  readonly description?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
  readonly $ref?: string;
  readonly anyOf?: readonly JsonSchema[];
  readonly type?: JsonType | readonly JsonType[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

type JsonType = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';

/**
 * The first thing in which a value differs from a schema, as `path what`; undefined where it fits. Its work is bounded by
 * the schema's depth and the value's size.
 *
 * @param value - as JSON.parse gives it
 */
export function schemaFault(
  schema: JsonSchema,
  value: unknown,
  path = '$',
  root: JsonSchema = schema,
): string | undefined {
  if (schema.$ref !== undefined) return schemaFault(definition(root, schema.$ref), value, path, root);
  if (schema.anyOf) {
    const faults = schema.anyOf.map((option) => schemaFault(option, value, path, root));
    // The last is the most telling: the others are exceptions, such as null.
    return faults.includes(undefined) ? undefined : faults.at(-1);
  }
  if (schema.type !== undefined) {
    const types = [schema.type].flat();
    if (!types.some((type) => isOfType(value, type))) return `${path} is ${kindOf(value)}, not ${types.join(' or ')}`;
  }
  if ('const' in schema && value !== schema.const) return `${path} is not ${JSON.stringify(schema.const)}`;
  if (schema.enum && !schema.enum.includes(value)) return `${path} is not one of ${JSON.stringify(schema.enum)}`;
  if (typeof value === 'number') return numberFault(schema, value, path);
  if (typeof value === 'string') return stringFault(schema, value, path);
  if (Array.isArray(value)) return arrayFault(schema, value, path, root);
  if (typeof value === 'object' && value !== null) return objectFault(schema, value, path, root);
  return undefined;
}

function numberFault(
  { minimum, maximum, exclusiveMinimum }: JsonSchema,
  value: number,
  path: string,
): string | undefined {
  if (minimum !== undefined && !(value >= minimum)) return `${path} is ${value}, less than ${minimum}`;
  if (maximum !== undefined && !(value <= maximum)) return `${path} is ${value}, more than ${maximum}`;
  if (exclusiveMinimum !== undefined && !(value > exclusiveMinimum)) {
    return `${path} is ${value}, not more than ${exclusiveMinimum}`;
  }
  return undefined;
}

function stringFault({ minLength, maxLength, pattern }: JsonSchema, value: string, path: string): string | undefined {
  if (!value.isWellFormed()) return `${path} is no Unicode text`;
  // Characters, of which some are two code units; counted only where they are few.
  const length = value.length > 2 * (maxLength ?? 0) ? value.length : [...value].length;
  if (minLength !== undefined && length < minLength) return `${path} has ${length} characters, fewer than ${minLength}`;
  if (maxLength !== undefined && length > maxLength) return `${path} has ${length} characters, more than ${maxLength}`;
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) return `${path} does not match ${pattern}`;
  return undefined;
}

function arrayFault(
  { items, minItems, maxItems }: JsonSchema,
  value: readonly unknown[],
  path: string,
  root: JsonSchema,
): string | undefined {
  if (minItems !== undefined && value.length < minItems)
    return `${path} has ${value.length} items, fewer than ${minItems}`;
  if (maxItems !== undefined && value.length > maxItems)
    return `${path} has ${value.length} items, more than ${maxItems}`;
  if (items === undefined) return undefined;
  for (const [index, item] of value.entries()) {
    const fault = schemaFault(items, item, `${path}[${index}]`, root);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Only own keys count, so that `__proto__` is one more unknown key. */
function objectFault(
  { properties = {}, required = [], additionalProperties }: JsonSchema,
  value: object,
  path: string,
  root: JsonSchema,
): string | undefined {
  for (const key of required) if (!Object.hasOwn(value, key)) return `${path} lacks ${JSON.stringify(key)}`;
  for (const [key, item] of Object.entries(value)) {
    if (Object.hasOwn(properties, key)) {
      const fault = schemaFault(properties[key]!, item, `${path}.${key}`, root);
      if (fault !== undefined) return fault;
    } else if (additionalProperties === false) return `${path} has the unknown key ${quoted(key)}`;
  }
  return undefined;
}

function definition(root: JsonSchema, reference: string): JsonSchema {
  const found = root.$defs?.[reference.replace('#/$defs/', '')];
  if (found === undefined) throw new Error(`The schema has no ${reference}.`);
  return found;
}

function isOfType(value: unknown, type: JsonType): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'number':
      return Number.isFinite(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'number') return String(value);
  return Array.isArray(value) ? 'array' : typeof value;
}
