import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  MOST_RECEIPT_BYTES,
  PREDICATE_TYPE,
  readReceipt,
  type ReceiptPredicate,
  verifyReceipt,
} from '@bittern/receipts';
import { BenchError } from '../errors.ts';
import type { BenchDocument } from '../report.ts';
import { printable } from '../table.ts';

/** What was measured on one machine, from a result of `--json` or from a receipt. */
export interface Measurements {
  readonly file: string;
  readonly machine: MachineIdentity;
  /** Milliseconds of each case. */
  readonly cases: ReadonlyMap<string, readonly number[]>;
}

export interface MachineIdentity {
  /** Results are comparable where it is the same: processor, cores that run at once, system. */
  readonly fingerprint: string;
  readonly cpu: string;
  readonly cores: number;
  readonly platform: string;
}

/**
 * Reads what is to be compared.
 *
 * @throws {BenchError} for another file, and for a receipt that does not pass
 */
export async function readMeasurements(path: string): Promise<Measurements> {
  const { size } = await stat(path);
  if (size > MOST_RECEIPT_BYTES) throw new BenchError(`${path} has ${size} bytes, more than any result.`);
  const bytes = await readFile(path);
  const value = parsed(path, bytes);
  if (isDocument(value)) return ofDocument(path, value);
  const { verdict, gates } = await verifyReceipt(bytes);
  if (verdict === 'pass') {
    const { statement } = readReceipt(bytes);
    if (statement.predicateType === PREDICATE_TYPE) return ofReceipt(path, statement.predicate);
    throw new BenchError(`${path} is the receipt of a comparison, which holds no times.`);
  }
  const { gate, reason } = gates.find(({ status }) => status === 'fail')!;
  throw new BenchError(
    `${path} is neither a result of --json nor a receipt that passes: ${gate}: ${printable(reason)}`,
  );
}

function parsed(path: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw new BenchError(`${path} is not JSON.`, { cause });
  }
}

type Looked = Pick<BenchDocument, 'command' | 'settings' | 'results'> & { readonly environment: Machine };
type Machine = Omit<MachineIdentity, 'fingerprint'>;

function isDocument(value: unknown): value is Looked {
  const { command, environment, settings, results } = Object(value) as Partial<Looked>;
  const { cpu, cores, platform } = Object(environment) as Partial<Machine>;
  return (
    typeof command === 'string' &&
    typeof cpu === 'string' &&
    typeof cores === 'number' &&
    typeof platform === 'string' &&
    typeof settings === 'object' &&
    settings !== null &&
    Array.isArray(results) &&
    results.every(isRow)
  );
}

function isRow(row: unknown): boolean {
  const { name, detail, durationMs } = Object(row) as Partial<Looked['results'][number]>;
  const { samples } = Object(durationMs) as { samples?: unknown };
  return typeof name === 'string' && typeof detail === 'string' && Array.isArray(samples) && samples.every(isSample);
}

function isSample(sample: unknown): boolean {
  return typeof sample === 'number' && Number.isFinite(sample) && sample > 0;
}

/** Settings that say what is done, not how well it is measured, or what the machine chose. */
const WORK = ['file', 'model', 'shape', 'tokens', 'prompt', 'steps', 'numerics', 'size'];

function ofDocument(path: string, { command, environment, settings, results }: Looked): Measurements {
  if (settings['file'] !== undefined && typeof settings['model'] !== 'string') {
    throw new BenchError(`${path} does not say which model it measured: \`model\` is missing in its settings.`);
  }
  const work = WORK.flatMap((key) => {
    const setting = settings[key];
    if (setting === undefined || (key === 'shape' && settings['file'] !== undefined)) return [];
    return [`${key} ${key === 'file' ? basename(String(setting)) : String(setting)}`];
  });
  const cases = results.map(({ name, detail, threads, durationMs }): [string, readonly number[]] => {
    const parts = [name, detail, ...(threads === undefined ? [] : [`${threads} thread(s)`]), ...work];
    return [`${command}: ${parts.join(', ')}`, durationMs.samples];
  });
  return measurements(path, environment, cases);
}

function ofReceipt(
  path: string,
  { host, model, kernels, head, kvType, numerics, prompt, request, runs }: ReceiptPredicate,
): Measurements {
  const machine = { cpu: host.cpu, cores: host.cores, platform: `${host.os.split(' ')[0]}-${host.arch}` };
  const digest = model.files.map(({ sha256 }) => sha256.slice(0, 12)).join(' ');
  const work = [
    `${model.files[0]!.name} (${digest})`,
    `${kernels.threads} thread(s)`,
    `${head.kind} head`,
    `${kvType} cache`,
    numerics,
    `prompt of ${prompt.ids.length}`,
    `${request.tokens} tokens`,
  ].join(', ');
  return measurements(path, machine, [
    [`benchmark: prefill, ${work}`, runs.map(({ prefillMs }) => prefillMs)],
    [`benchmark: first token, ${work}`, runs.map(({ firstTokenMs }) => firstTokenMs)],
    [`benchmark: decode step, ${work}`, runs.flatMap(({ decodeMs }) => decodeMs)],
  ]);
}

function measurements(
  file: string,
  { cpu, cores, platform }: Machine,
  cases: readonly [name: string, samples: readonly number[]][],
): Measurements {
  const names = new Map(cases);
  if (names.size < cases.length) throw new BenchError(`${file} has a case twice; it cannot be paired.`);
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([cpu, cores, platform]))
    .digest('hex')
    .slice(0, 12);
  return { file, machine: { fingerprint, cpu, cores, platform }, cases: names };
}
