import { describeMachine, type Machine } from '@bittern/measure';
import manifest from '../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;

/** Where and with what a measurement took place. */
export interface Environment extends Machine {
  readonly bench: string;
  readonly date: string;
}

export function environment(): Environment {
  return { bench: VERSION, date: new Date().toISOString(), ...describeMachine() };
}
