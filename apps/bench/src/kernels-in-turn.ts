import type { WasmKernels } from '@bittern/kernels';

/**
 * Two builds of kernels over one memory as one, of which either is at work: a model on them has the same weights at the same
 * addresses in both. Where a memory lies makes as much difference to its speed as what such builds are compared for.
 */
export class KernelsInTurn {
  readonly kernels: WasmKernels;
  #active: WasmKernels;

  constructor(first: WasmKernels, second: WasmKernels) {
    this.#active = first;
    const both = [first, second];
    const names = Object.keys(first) as (keyof WasmKernels)[];
    const calls = names
      .filter((name) => typeof first[name] === 'function')
      .map((name) => [name, (...args: never[]) => (this.#active[name] as (...args: never[]) => unknown)(...args)]);
    const scratch = (): WasmKernels['scratch'] => this.#active.scratch;
    this.kernels = {
      ...first,
      ...(Object.fromEntries(calls) as Partial<WasmKernels>),
      get scratch() {
        return scratch();
      },
      reserveScratch: (sizeBytes) => both.forEach((kernels) => kernels.reserveScratch(sizeBytes)),
      dispose: () => both.forEach((kernels) => kernels.dispose()),
    };
  }

  use(kernels: WasmKernels): void {
    this.#active.flush();
    this.#active = kernels;
  }
}
