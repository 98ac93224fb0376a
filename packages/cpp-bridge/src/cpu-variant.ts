import { readFile } from 'node:fs/promises';
import { BridgeError } from './errors.ts';

/** What a variant of llama.cpp's CPU backend needs, as /proc/cpuinfo spells it; the best first. */
const VARIANTS: readonly (readonly [variant: string, flags: readonly string[]])[] = [
  ['haswell', ['avx2', 'fma', 'f16c', 'bmi2']],
  ['sse42', ['sse4_2']],
  ['x64', []],
];

/**
 * The CPU backend that is loaded where there are several. llama.cpp itself would take the best for the machine; their results
 * differ in the last bits, so one that nearly every machine has is pinned.
 *
 * @param available - names of variants; not empty
 * @throws BridgeError BRIDGE_BAD_LIBRARY where none of them is known
 */
export async function chooseCpuVariant(available: readonly string[], flags?: ReadonlySet<string>): Promise<string> {
  const known = flags ?? (await processorFlags());
  const chosen = VARIANTS.find(
    ([variant, needed]) => available.includes(variant) && needed.every((flag) => known.has(flag)),
  );
  if (chosen === undefined) {
    const names = VARIANTS.map(([variant]) => variant).join(', ');
    throw new BridgeError(
      'BRIDGE_BAD_LIBRARY',
      `Of the CPU backends ${available.join(', ')} none is one of ${names} that this processor can run.`,
    );
  }
  return chosen[0];
}

async function processorFlags(): Promise<ReadonlySet<string>> {
  try {
    const line = /^flags\s*:(.*)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1];
    return new Set(line?.trim().split(/\s+/));
  } catch {
    return new Set();
  }
}
