import type { KernelChoice, KernelCounter, Model } from '@bittern/engine';

/** What ran, for `--json`. */
export interface KernelReport {
  readonly variant: string;
  readonly threads: number;
  /** Of the kernels for ternary products. */
  readonly choice: KernelChoice;
  /** Of the command's evaluations; loading is not counted. docs/kernel-counters.md says what is counted. */
  readonly counters: readonly KernelCounter[];
}

export function kernelReport(model: Model): KernelReport {
  return {
    variant: model.kernelVariant,
    threads: model.threads,
    choice: model.kernelChoice,
    counters: model.counters(),
  };
}
