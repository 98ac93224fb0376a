import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

/** Where a measurement took place, and on what. */
export interface Machine {
  readonly cpu: string;
  /** That run at once. */
  readonly cores: number;
  readonly memoryBytes: number;
  /** SIMD instructions that the processor says it has; empty where the system does not tell (other than Linux). */
  readonly simd: readonly string[];
  /** `linux-x64`, say. */
  readonly platform: string;
  readonly osRelease: string;
  readonly arch: string;
  readonly node: string;
  readonly v8: string;
  /** With which Node was started, V8's included. Those that were set since are not among them. */
  readonly flags: readonly string[];
  /** Tasks that wanted a core in the last minute, this one included: more than the cores means a disturbed run. */
  readonly loadAverage: number;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() || 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    simd: simdFlags(),
    platform: `${process.platform}-${process.arch}`,
    osRelease: release(),
    arch: arch(),
    node: process.version,
    v8: process.versions.v8,
    flags: process.execArgv,
    loadAverage: loadavg()[0]!,
  };
}

/** Linux's names; `Features` is the line of ARM. */
const SIMD = /^(sse|ssse|avx|fma|f16c|neon|asimd|sve|amx|i8mm)/;

function simdFlags(): string[] {
  if (process.platform !== 'linux') return [];
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  return line.split(/\s+/).filter((flag) => SIMD.test(flag));
}
