import type { EvaluationMode } from './side.ts';

/** More than any engine's context; keeps sizes computed from counts far below 2^53. */
const MAX_COUNT = 2 ** 31;
const MAX_DIMENSIONS = 4;

/** Checks of JSON from an untrusted file: each gives the value with its type, or throws. `path` says where it stands. */
export interface CheckedJson {
  /** The fields of an object that has exactly these keys. */
  fields<Key extends string>(value: unknown, path: string, keys: readonly Key[]): Record<Key, unknown>;
  text(value: unknown, path: string): string;
  /** A text that is not empty. */
  name(value: unknown, path: string): string;
  /** An integer from 0 to 2^31 - 1. */
  count(value: unknown, path: string): number;
  /** A SHA-256 in lower-case hex. */
  digest(value: unknown, path: string): string;
  flag(value: unknown, path: string): boolean;
  mode(value: unknown, path: string): EvaluationMode;
  /** At most four sizes and 2^31 elements. */
  shape(value: unknown, path: string): number[];
  list<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[];
  /** A list that is not empty. */
  filledList<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[];
}

/** @param bad - makes the error that is thrown */
export function checkedJson(bad: (path: string, what: string) => Error): CheckedJson {
  function text(value: unknown, path: string): string {
    if (typeof value !== 'string') throw bad(path, 'is not a string');
    return value;
  }
  function count(value: unknown, path: string): number {
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= MAX_COUNT) {
      throw bad(path, 'is not an integer from 0 to 2^31 - 1');
    }
    return value as number;
  }
  function list<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[] {
    if (!Array.isArray(value)) throw bad(path, 'is not an array');
    return value.map((element: unknown, index) => item(element, `${path}[${index}]`));
  }
  function filledList<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[] {
    const items = list(value, path, item);
    if (items.length === 0) throw bad(path, 'is empty');
    return items;
  }
  return {
    fields<Key extends string>(value: unknown, path: string, keys: readonly Key[]) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(path, 'is not an object');
      // Only own keys count, so `__proto__` is one more unknown key.
      for (const key of keys) if (!Object.hasOwn(value, key)) throw bad(path, `lacks "${key}"`);
      for (const key of Object.keys(value)) {
        if (!(keys as readonly string[]).includes(key)) throw bad(path, `has the unknown key ${JSON.stringify(key)}`);
      }
      return value as Record<Key, unknown>;
    },
    text,
    name(value, path) {
      if (text(value, path) === '') throw bad(path, 'is empty');
      return value as string;
    },
    count,
    digest(value, path) {
      if (!/^[0-9a-f]{64}$/.test(text(value, path))) throw bad(path, 'is not a SHA-256 in lower-case hex');
      return value as string;
    },
    flag(value, path) {
      if (typeof value !== 'boolean') throw bad(path, 'is not true or false');
      return value;
    },
    mode(value, path) {
      if (value !== 'batch-all' && value !== 'batch-last' && value !== 'sequential') {
        throw bad(path, 'is not "batch-all", "batch-last" or "sequential"');
      }
      return value;
    },
    shape(value, path) {
      const sizes = filledList(value, path, count);
      if (sizes.length > MAX_DIMENSIONS || !(sizes.reduce((product, size) => product * size, 1) < MAX_COUNT)) {
        throw bad(path, `has more than ${MAX_DIMENSIONS} dimensions or 2^31 elements`);
      }
      return sizes;
    },
    list,
    filledList,
  };
}
