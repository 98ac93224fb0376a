import { FOLDER_VARIABLE } from './config-file.ts';
import { BridgeError, type BridgeErrorCode } from './errors.ts';
import { type Inspection, inspect, type InspectOptions } from './inspect.ts';
import type { LibraryBackend } from './library.ts';
import type { Environment } from './paths.ts';
import { configuredPlace, type Place, usualPlaces } from './places.ts';
import { type RunResult, runReference } from './run-reference.ts';
import { refuseUnknownOptions } from './unknown-options.ts';

/**
 * - `ok`: it was run, and gave the known answer
 * - `missing`: it was asked for or set, but is not there
 * - `incompatible`: it is there, but is for another machine, of another API, or its struct layouts are not known
 * - `broken`: it is damaged, ends, hangs or computes something else
 * - `skipped`: nothing is set, and nobody asked for it
 */
export type PreflightStatus = 'ok' | 'missing' | 'incompatible' | 'broken' | 'skipped';

export interface PreflightReport {
  readonly backend: LibraryBackend;
  readonly status: PreflightStatus;
  /** Why it is not `ok`. */
  readonly problem: { readonly code: BridgeErrorCode; readonly message: string } | undefined;
  /** What to type next, where something does. */
  readonly next: string | undefined;
  readonly inspection: Inspection | undefined;
  readonly run: RunResult | undefined;
}

export interface PreflightOptions extends InspectOptions {
  readonly env: Environment;
  /** Whether the user asked for this backend; one that is not set is then `missing`, not `skipped`. */
  readonly requested: boolean;
  /** Of each step of the run. Default: one minute. */
  readonly timeoutMs?: number;
  readonly onProgress?: (what: string) => void;
}

const STATUS_OF: Readonly<Record<BridgeErrorCode, Exclude<PreflightStatus, 'ok' | 'skipped'>>> = {
  BRIDGE_NOT_FOUND: 'missing',
  BRIDGE_BAD_CONFIG: 'missing',
  BRIDGE_FETCH_FAILED: 'missing',
  BRIDGE_BAD_LIBRARY: 'incompatible',
  BRIDGE_MISSING_SYMBOL: 'incompatible',
  BRIDGE_BAD_HEADER: 'incompatible',
  BRIDGE_NO_LAYOUT: 'incompatible',
  BRIDGE_ABI_MISMATCH: 'incompatible',
  BRIDGE_WRONG_LIBRARY: 'incompatible',
  BRIDGE_UNSUPPORTED: 'incompatible',
  BRIDGE_DAMAGED_LIBRARY: 'broken',
  BRIDGE_BAD_RECORD: 'broken',
  BRIDGE_KNOWN_ANSWER: 'broken',
  BRIDGE_NOT_STARTED: 'broken',
  BRIDGE_ABORTED: 'broken',
  BRIDGE_EXITED: 'broken',
  BRIDGE_TIMED_OUT: 'broken',
  BRIDGE_BAD_MESSAGE: 'broken',
  BRIDGE_REFUSED: 'broken',
  BRIDGE_DISPOSED: 'broken',
  BRIDGE_UNTRANSLATABLE: 'broken',
};

/** What is wrong where nothing is set or installed, and what to type then. */
export function howToGet(backend: LibraryBackend): { readonly message: string; readonly next: string } {
  const unset = `${FOLDER_VARIABLE[backend]} is not set`;
  const message = backend === 'llama' ? `${unset}, and the npm package is not installed.` : `${unset}.`;
  return { message, next: FETCH[backend] };
}

/** What to type to use what was found or fetched. */
const SETUP = 'eval "$(bittern setup-cpp-auto --emit sh)"';

/** What to type to get a reference. */
const FETCH: Readonly<Record<LibraryBackend, string>> = {
  llama: 'bittern fetch-cpp --backend llama',
  bitnet: 'bittern fetch-cpp --backend bitnet --repo URL --ref COMMIT --build COMMAND',
};

/**
 * Finds out whether a reference can be used: where it is, what it is, and whether it gives the known answer when it is run. Never
 * throws for what is wrong with a reference; that is the report.
 */
export async function preflight(backend: LibraryBackend, options: PreflightOptions): Promise<PreflightReport> {
  const { env, requested, ...rest } = options;
  const nothing = { backend, inspection: undefined, run: undefined };
  let place: Place | undefined;
  try {
    place = await configuredPlace(backend, env);
  } catch (error) {
    return { ...nothing, ...failure(error, `Correct ${FOLDER_VARIABLE[backend]}.`) };
  }
  if (place === undefined) {
    const { message, next } = howToGet(backend);
    const elsewhere = (await usualPlaces(backend, env)).some(({ kind }) => kind === 'cache');
    return {
      ...nothing,
      status: requested ? 'missing' : 'skipped',
      problem: { code: 'BRIDGE_NOT_FOUND', message },
      next: elsewhere ? SETUP : next,
    };
  }
  return preflightAt(place, rest);
}

/** The same for one place. */
export async function preflightAt(
  place: Place,
  { cpuVariant, timeoutMs, signal, onProgress, ...unknown }: Omit<PreflightOptions, 'env' | 'requested'> = {},
): Promise<PreflightReport> {
  refuseUnknownOptions(unknown);
  const { backend } = place;
  onProgress?.(`${backend}: looking at ${place.folder}`);
  const inspection = await inspect(place, { ...(cpuVariant && { cpuVariant }), ...(signal && { signal }) });
  const { library, error } = inspection;
  if (library === undefined) {
    return { backend, inspection, run: undefined, ...failure(error, nextFor(error, place)) };
  }
  onProgress?.(`${backend}: running it`);
  try {
    const run = await runReference(library, { signal, ...(timeoutMs !== undefined && { timeoutMs }) });
    return { backend, status: 'ok', problem: undefined, next: undefined, inspection, run };
  } catch (runError) {
    signal?.throwIfAborted();
    return { backend, inspection, run: undefined, ...failure(runError, nextFor(runError, place)) };
  }
}

function failure(error: unknown, next: string | undefined): Pick<PreflightReport, 'status' | 'problem' | 'next'> {
  if (!(error instanceof BridgeError)) throw error;
  const { code, message } = error;
  return { status: STATUS_OF[code], problem: { code, message }, next };
}

/** What is the user's own, only the user can repair. */
function nextFor(error: unknown, { backend, kind }: Place): string | undefined {
  // What npm installed with the bridge is npm's; a fetched one takes its place.
  if (kind === 'npm') return SETUP;
  if (kind === 'cache') return backend === 'llama' ? `${FETCH.llama} --force` : `${FETCH.bitnet} --force`;
  const variable = FOLDER_VARIABLE[backend];
  if (error instanceof BridgeError && error.code === 'BRIDGE_NOT_FOUND') {
    return backend === 'llama' ? `unset ${variable}` : FETCH.bitnet;
  }
  return undefined;
}
