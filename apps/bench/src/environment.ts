import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import manifest from '../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;

/** Where and with what a measurement took place. */
export interface Environment {
  readonly bench: string;
  readonly date: string;
  readonly cpu: string;
  /** That run at once. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  readonly v8: string;
  /** Of the process, and of V8. */
  readonly flags: readonly string[];
  /** Tasks that wanted a core in the last minute, this one included: more than the cores means a disturbed run. */
  readonly loadAverage: number;
}

export function environment(): Environment {
  return {
    bench: VERSION,
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    v8: process.versions.v8,
    flags: process.execArgv,
    loadAverage: loadavg()[0]!,
  };
}
