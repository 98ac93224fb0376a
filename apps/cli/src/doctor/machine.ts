import { availableParallelism, cpus, totalmem } from 'node:os';
import { readEnvironment } from '../environment.ts';
import { messageOf, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import type { Check } from './check.ts';

const OLDEST_NODE = 22;
/** With V8's revectorizer. */
const FASTEST_NODE = 24;

export function checkRuntime({ env }: Io): Check {
  const { version, versions, platform, arch, execArgv } = process;
  const major = Number.parseInt(versions.node, 10);
  const flags = [...execArgv, ...(env['NODE_OPTIONS'] ? [`NODE_OPTIONS=${env['NODE_OPTIONS']}`] : [])];
  const found = [
    `Node ${version}, V8 ${versions.v8}, ${platform}-${arch}`,
    `flags: ${flags.length === 0 ? 'none' : flags.join(' ')}`,
  ];
  const name = 'runtime';
  if (!(major >= OLDEST_NODE))
    return { name, status: 'failed', found, next: `Install Node ${OLDEST_NODE} or newer. Nothing else was tried.` };
  if (major >= FASTEST_NODE) return { name, status: 'ok', found };
  return { name, status: 'gap', found, next: `Node ${FASTEST_NODE} or newer runs ternary products faster on x64.` };
}

/** The variables of parity runs, and whether they make sense. */
export function checkEnvironment(io: Io): Check {
  const name = 'environment';
  try {
    const { variables } = readEnvironment(io);
    const set = Object.entries(variables).map(([variable, value]) => `${variable}=${value}`);
    return { name, status: 'ok', found: [set.length === 0 ? 'no variable of parity runs is set' : set.join(', ')] };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { name, status: 'failed', found: [messageOf(error)], next: 'Correct or unset it.' };
  }
}

/** What a process may have left that a model of 2B parameters, its cache and its activations fit into. */
const ENOUGH_BYTES = 2e9;

export function checkMemory(): Check {
  const available = process.availableMemory();
  const found = [
    `${gigabytes(available)} of ${gigabytes(totalmem())} available; a model with its cache can have 4.3 GB, WebAssembly's limit`,
  ];
  if (available >= ENOUGH_BYTES) return { name: 'memory', status: 'ok', found };
  const next = 'A model of 2B parameters wants about 2 GB. `bittern inspect FILE` says what a file wants.';
  return { name: 'memory', status: 'gap', found, next };
}

export function processor(): string {
  return `${availableParallelism()} at once on ${cpus()[0]?.model.trim() ?? 'an unknown processor'}`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
