import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import {
  EVALUATION_MODES,
  I2S_LAYOUTS,
  type I2sLayout,
  type EvaluationMode,
  type Numerics,
  NUMERICS,
} from '@bittern/engine';
import { TEMPLATE_IDS, type TemplateId } from '@bittern/tokenizer';
import { parse, YAMLParseError } from 'yaml';
import { UnusableFileError } from '../errors.ts';
import { type Backend, BACKENDS } from './options.ts';

/** A matrix of comparisons: models × prompts × modes × references. Paths are absolute. */
export interface Sweep {
  readonly exact: boolean;
  /** Path of a thresholds file. */
  readonly thresholds: string | undefined;
  readonly models: readonly SweepModel[];
  readonly prompts: readonly SweepPrompt[];
  readonly modes: readonly EvaluationMode[];
  readonly references: readonly SweepReference[];
}

export interface SweepModel {
  readonly name: string;
  readonly file: string;
  readonly layout?: I2sLayout;
  readonly tl1Tiling?: string;
  readonly tokenizer?: string;
  /** In place of the sweep's. */
  readonly references?: readonly SweepReference[];
}

export interface SweepPrompt {
  readonly name: string;
  readonly text: string;
  readonly template?: 'auto' | TemplateId;
  readonly system?: string;
  readonly special?: boolean;
  readonly maxTokens?: number;
}

export interface SweepReference {
  readonly name: string;
  /** A folder. Or a C++ engine that runs; beside a recording it is asked the recording's prompts. */
  readonly recording?: string;
  readonly cppBackend?: Backend;
  /** In place of these: a model or other numerics for our own engine. */
  readonly model?: string;
  readonly numerics?: Numerics;
}

const MAX_BYTES = 1 << 20;

/** Reads a sweep. Anything that it does not know, it refuses: a misspelt key would silently compare less. */
export async function readSweep(path: string): Promise<Sweep> {
  const bytes = await readFile(path);
  if (bytes.length > MAX_BYTES) throw unusable(path, `it has more than ${MAX_BYTES} bytes`);
  let value: unknown;
  try {
    // No aliases: a small file could otherwise expand without bounds.
    value = parse(bytes.toString('utf8'), { maxAliasCount: 0, schema: 'core' });
  } catch (error) {
    if (error instanceof YAMLParseError || error instanceof ReferenceError) throw unusable(path, error.message);
    throw error;
  }
  return new SweepReader(path).sweep(value);
}

function unusable(path: string, what: string): UnusableFileError {
  return new UnusableFileError(path, new Error(`${what}.`));
}

class SweepReader {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  sweep(value: unknown): Sweep {
    const keys = ['version', 'exact', 'thresholds', 'models', 'prompts', 'modes', 'references'];
    const of = this.#object(value, 'the file', keys);
    if (of['version'] !== 1) throw this.#bad('version', 'is not 1');
    const thresholds = this.#optional(of['thresholds'], (text) => this.#file(text, 'thresholds'));
    const exact = this.#optional(of['exact'], (flag) => this.#flag(flag, 'exact')) ?? false;
    if (exact && thresholds !== undefined) throw this.#bad('thresholds', 'makes no sense beside exact');
    return {
      exact,
      thresholds,
      models: this.#named(of['models'], 'models', (item, at) => this.#model(item, at)),
      prompts: this.#named(of['prompts'], 'prompts', (item, at) => this.#prompt(item, at)),
      modes: this.#list(of['modes'], 'modes', (item, at) => this.#oneOf(item, at, EVALUATION_MODES)),
      references: this.#named(of['references'], 'references', (item, at) => this.#reference(item, at)),
    };
  }

  #model(value: unknown, at: string): SweepModel {
    const of = this.#object(value, at, ['name', 'file', 'layout', 'tl1Tiling', 'tokenizer', 'references']);
    const file = this.#file(of['file'], `${at}.file`);
    const path = (key: 'tl1Tiling' | 'tokenizer') =>
      this.#optional(of[key], (text) => this.#file(text, `${at}.${key}`));
    const references = this.#optional(of['references'], (list) =>
      this.#named(list, `${at}.references`, (item, where) => this.#reference(item, where)),
    );
    return defined({
      name: this.#optional(of['name'], (text) => this.#text(text, `${at}.name`)) ?? file,
      file,
      layout: this.#optional(of['layout'], (name) => this.#oneOf(name, `${at}.layout`, I2S_LAYOUTS)),
      tl1Tiling: path('tl1Tiling'),
      tokenizer: path('tokenizer'),
      references,
    });
  }

  #prompt(value: unknown, at: string): SweepPrompt {
    const of = this.#object(value, at, ['name', 'text', 'template', 'system', 'special', 'maxTokens']);
    const text = this.#text(of['text'], `${at}.text`);
    const templates: readonly ('auto' | TemplateId)[] = ['auto', ...TEMPLATE_IDS];
    return defined({
      name: this.#optional(of['name'], (name) => this.#text(name, `${at}.name`)) ?? text,
      text,
      template: this.#optional(of['template'], (name) => this.#oneOf(name, `${at}.template`, templates)),
      system: this.#optional(of['system'], (system) => this.#text(system, `${at}.system`)),
      special: this.#optional(of['special'], (flag) => this.#flag(flag, `${at}.special`)),
      maxTokens: this.#optional(of['maxTokens'], (count) => {
        if (!Number.isSafeInteger(count) || (count as number) < 1) {
          throw this.#bad(`${at}.maxTokens`, 'is not a whole number from 1 up');
        }
        return count as number;
      }),
    });
  }

  #reference(value: unknown, at: string): SweepReference {
    const of = this.#object(value, at, ['name', 'recording', 'cppBackend', 'model', 'numerics']);
    const recording = this.#optional(of['recording'], (text) => this.#file(text, `${at}.recording`));
    const model = this.#optional(of['model'], (text) => this.#file(text, `${at}.model`));
    const numerics = this.#optional(of['numerics'], (name) => this.#oneOf(name, `${at}.numerics`, NUMERICS));
    const cppBackend = this.#optional(of['cppBackend'], (name) => this.#oneOf(name, `${at}.cppBackend`, BACKENDS));
    const own = model !== undefined || numerics !== undefined;
    const runs = cppBackend === 'llama' || cppBackend === 'bitnet';
    const other = recording !== undefined || runs;
    if (other === own || (own && cppBackend !== undefined)) {
      throw this.#bad(at, 'needs a recording, a cppBackend that runs, or a model or numerics of our engine');
    }
    const name = this.#optional(of['name'], (text) => this.#text(text, `${at}.name`));
    const kind = cppBackend ?? recording ?? model ?? numerics!;
    return defined({ name: name ?? kind, recording, cppBackend, model, numerics });
  }

  /** Items whose names differ, so that results can be told apart; none where the key is absent. */
  #named<T extends { readonly name: string }>(
    value: unknown,
    at: string,
    item: (value: unknown, at: string) => T,
  ): T[] {
    const items = this.#list(value, at, item);
    const seen = new Set<string>();
    for (const { name } of items) {
      if (seen.has(name)) throw this.#bad(at, `has ${JSON.stringify(name)} twice`);
      seen.add(name);
    }
    return items;
  }

  #list<T>(value: unknown, at: string, item: (value: unknown, at: string) => T): T[] {
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.#bad(at, 'is not a list');
    if (value.length === 0) throw this.#bad(at, 'is empty');
    return value.map((element: unknown, index) => item(element, `${at}[${index}]`));
  }

  #object(value: unknown, at: string, keys: readonly string[]): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.#bad(at, 'is not a mapping');
    const unknown = Object.keys(value).find((key) => !keys.includes(key));
    if (unknown !== undefined) throw this.#bad(at, `has the unknown key "${unknown}"; known: ${keys.join(', ')}`);
    return value as Record<string, unknown>;
  }

  #optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
    return value === undefined ? undefined : read(value);
  }

  #text(value: unknown, at: string): string {
    if (typeof value !== 'string' || value === '') throw this.#bad(at, 'is not a text');
    return value;
  }

  #flag(value: unknown, at: string): boolean {
    if (typeof value !== 'boolean') throw this.#bad(at, 'is not true or false');
    return value;
  }

  #oneOf<T extends string>(value: unknown, at: string, values: readonly T[]): T {
    if (!(values as readonly unknown[]).includes(value)) throw this.#bad(at, `is not one of ${values.join(', ')}`);
    return value as T;
  }

  /** A path as the file means it: from its own folder. */
  #file(value: unknown, at: string): string {
    return resolve(dirname(this.#path), this.#text(value, at));
  }

  #bad(at: string, what: string): UnusableFileError {
    return unusable(this.#path, `${at} ${what}`);
  }
}

/** Without the keys that are undefined. */
function defined<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, of]) => of !== undefined)) as {
    [Key in keyof T]: Exclude<T[Key], undefined>;
  };
}
