import { stat, readFile } from 'node:fs/promises';
import { matchesGlob } from '@bittern/engine';
import { UsageError } from '../errors.ts';
import { type Figure, FIGURES } from './measure.ts';

/** Both ends count as inside. One that is left out is no limit. */
export interface Limit {
  readonly min?: number;
  readonly max?: number;
}

export interface Rule {
  /** Of the tensors' names; `*` and `?` are wild. A tensor is judged by the first rule that matches it. */
  readonly pattern: string;
  /** Types that the tensor may have. Default: any. */
  readonly types?: readonly string[];
  /** NaN and infinite elements, and scales that are not finite, are refused without being named here. */
  readonly limits?: Readonly<Partial<Record<Figure, Limit>>>;
}

export interface RuleSet {
  readonly name: string;
  /** Why these limits, for people. */
  readonly reason?: string;
  /** Of general.architecture; `*` and `?` are wild. Default: any. */
  readonly architectures?: readonly string[];
  /** Of general.file_type. Default: any. */
  readonly fileTypes?: readonly number[];
  readonly norms: readonly Rule[];
  readonly projections: readonly Rule[];
}

/** What `--gate FILE` reads, as JSON. The first rule set that fits a file's architecture and file type judges it. */
export interface Policy {
  readonly version: 1;
  readonly ruleSets: readonly RuleSet[];
}

const MAX_FILE_BYTES = 2 ** 20;
const MAX_LIST_LENGTH = 1000;
const MAX_TEXT_LENGTH = 1000;

/** @param fileType - `general.file_type`, undefined if the file does not say */
export function chooseRuleSet(
  { ruleSets }: Policy,
  architecture: string | undefined,
  fileType: number | undefined,
): RuleSet | undefined {
  return ruleSets.find(
    ({ architectures, fileTypes }) =>
      (architectures?.some((pattern) => matchesGlob(pattern, architecture ?? '')) ?? true) &&
      (fileTypes === undefined || (fileType !== undefined && fileTypes.includes(fileType))),
  );
}

/** @throws UsageError for a file that is no policy, saying where in it; the system's error if it cannot be read */
export async function readPolicy(path: string): Promise<Policy> {
  const stats = await stat(path);
  if (!stats.isFile()) throw new UsageError(`${path} is not a regular file; --gate needs none, auto or a policy file.`);
  if (!(stats.size <= MAX_FILE_BYTES)) {
    throw new UsageError(`${path} has ${stats.size} bytes; a policy has at most ${MAX_FILE_BYTES}.`);
  }
  return parsePolicy(await readFile(path, 'utf8'), path);
}

/** @param path - for messages */
export function parsePolicy(text: string, path: string): Policy {
  const fail: Fail = (where, what) => {
    throw new UsageError(
      `${path}: ${where === '' ? 'the policy' : where} ${what}. README.md of bittern shows the shape.`,
    );
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    fail('', `is not JSON (${(error as Error).message})`);
  }
  const policy = record(value, '', ['version', 'ruleSets'], fail);
  if (policy['version'] !== 1) fail('version', `is ${JSON.stringify(policy['version'])}, not 1`);
  const ruleSets = list(policy['ruleSets'], 'ruleSets', fail);
  if (ruleSets.length === 0) fail('ruleSets', 'is empty');
  return { version: 1, ruleSets: ruleSets.map((set, index) => ruleSetOf(set, `ruleSets[${index}]`, fail)) };
}

type Fail = (where: string, what: string) => never;

function ruleSetOf(value: unknown, where: string, fail: Fail): RuleSet {
  const set = record(value, where, ['name', 'reason', 'architectures', 'fileTypes', 'norms', 'projections'], fail);
  return {
    name: textAt(set['name'], `${where}.name`, fail),
    ...optional(set, 'reason', (reason) => textAt(reason, `${where}.reason`, fail)),
    ...optional(set, 'architectures', (given) =>
      list(given, `${where}.architectures`, fail).map((name, index) =>
        textAt(name, `${where}.architectures[${index}]`, fail),
      ),
    ),
    ...optional(set, 'fileTypes', (given) =>
      list(given, `${where}.fileTypes`, fail).map((type, index) =>
        numberAt(type, `${where}.fileTypes[${index}]`, fail),
      ),
    ),
    norms: rulesOf(set['norms'], `${where}.norms`, fail),
    projections: rulesOf(set['projections'], `${where}.projections`, fail),
  };
}

function rulesOf(value: unknown, where: string, fail: Fail): Rule[] {
  return list(value, where, fail).map((item, index) => {
    const at = `${where}[${index}]`;
    const rule = record(item, at, ['pattern', 'types', 'limits'], fail);
    return {
      pattern: textAt(rule['pattern'], `${at}.pattern`, fail),
      ...optional(rule, 'types', (types) =>
        list(types, `${at}.types`, fail).map((type, number) => textAt(type, `${at}.types[${number}]`, fail)),
      ),
      ...optional(rule, 'limits', (limits) => limitsOf(limits, `${at}.limits`, fail)),
    };
  });
}

function limitsOf(value: unknown, where: string, fail: Fail): Partial<Record<Figure, Limit>> {
  const limits = record(value, where, FIGURES, fail);
  return Object.fromEntries(
    Object.entries(limits).map(([figure, given]) => {
      const at = `${where}.${figure}`;
      const limit = record(given, at, ['min', 'max'], fail);
      const read: Limit = {
        ...optional(limit, 'min', (min) => numberAt(min, `${at}.min`, fail)),
        ...optional(limit, 'max', (max) => numberAt(max, `${at}.max`, fail)),
      };
      if (read.min === undefined && read.max === undefined) fail(at, 'has neither min nor max');
      if (read.min !== undefined && read.max !== undefined && !(read.min <= read.max))
        fail(at, 'has a min above its max');
      return [figure, read];
    }),
  );
}

/** An object that has no keys but the known ones: a misspelt limit would be none. */
function record(value: unknown, where: string, known: readonly string[], fail: Fail): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(where, 'is not an object');
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) fail(where, `has the unknown key ${quoted(unknown)}; known: ${known.join(', ')}`);
  return value as Record<string, unknown>;
}

function optional<K extends string, T>(
  from: Readonly<Record<string, unknown>>,
  key: K,
  read: (value: unknown) => T,
): Partial<Record<K, T>> {
  return (Object.hasOwn(from, key) ? { [key]: read(from[key]) } : {}) as Partial<Record<K, T>>;
}

function list(value: unknown, where: string, fail: Fail): unknown[] {
  if (!Array.isArray(value)) return fail(where, 'is not a list');
  if (value.length > MAX_LIST_LENGTH)
    fail(where, `has ${value.length} entries; at most ${MAX_LIST_LENGTH} are allowed`);
  return value;
}

function textAt(value: unknown, where: string, fail: Fail): string {
  if (typeof value !== 'string') return fail(where, 'is not a string');
  if (value === '' || value.length > MAX_TEXT_LENGTH) fail(where, `is not of 1 to ${MAX_TEXT_LENGTH} characters`);
  return value;
}

function numberAt(value: unknown, where: string, fail: Fail): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) return fail(where, 'is not a finite number');
  return value;
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
