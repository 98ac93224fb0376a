import { performance } from 'node:perf_hooks';
import type { WasmKernels } from '@bittern/kernels';
import type { Sample } from './measure.ts';

/** Far longer than waking a thread takes, and than the clock's resolution. */
const SAMPLE_MS = 5;
const MOST_CALLS = 1 << 20;

/** A call of kernels, as often as makes a sample long enough; the first samples find out how often that is. */
export class RepeatedCall {
  readonly #kernels: WasmKernels;
  readonly #call: () => void;
  #count = 1;

  constructor(kernels: WasmKernels, call: () => void) {
    this.#kernels = kernels;
    this.#call = call;
  }

  sample(): Sample {
    for (;;) {
      const start = performance.now();
      for (let i = 0; i < this.#count; i++) this.#call();
      this.#kernels.flush();
      const durationMs = performance.now() - start;
      if (durationMs >= SAMPLE_MS || this.#count >= MOST_CALLS) return { durationsMs: [durationMs / this.#count] };
      const factor = Math.min(16, Math.max(1.25, (1.25 * SAMPLE_MS) / durationMs));
      this.#count = Math.min(MOST_CALLS, Math.ceil(this.#count * factor));
    }
  }
}
