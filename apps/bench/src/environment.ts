import { v8FlagsSet } from '@bittern/kernels';
import { describeMachine, type Machine } from '@bittern/measure';
import manifest from '../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;

/** Where and with what a measurement took place. */
export interface Environment extends Machine {
  readonly bench: string;
  readonly date: string;
}

/** @param flags - of V8's that what was measured has set, here or in processes of its own */
export function environment(flags: readonly string[] = v8FlagsSet()): Environment {
  const machine = describeMachine();
  const all = [...new Set([...machine.flags, ...flags])];
  return { bench: VERSION, date: new Date().toISOString(), ...machine, flags: all };
}
