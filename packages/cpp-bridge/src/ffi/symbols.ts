import koffi from 'koffi';
import type { ReferenceLibrary } from '../library.ts';
import { BridgeError } from '../errors.ts';

type Loaded = ReturnType<typeof koffi.load>;
/** A C type by koffi's name for it, or as an object. */
export type CType = string | ReturnType<typeof koffi.proto>;
export type Native<Arguments extends unknown[], Result> = (...values: Arguments) => Result;

/** The functions of a reference's shared libraries, found in whichever of them exports the name. */
export class Symbols {
  readonly #libraries: readonly Loaded[];

  /**
   * Loads the libraries, dependencies first: a later one then finds the earlier by its SONAME wherever it lies.
   * Nothing is loaded globally, since two llama.cpp in one global namespace crash.
   */
  constructor({ files }: ReferenceLibrary) {
    const paths = [files.ggmlBase, files.ggml, files.llama].filter((path) => path !== undefined);
    this.#libraries = paths
      .map((path) => {
        try {
          return koffi.load(path);
        } catch (cause) {
          throw new BridgeError('BRIDGE_BAD_LIBRARY', `${path} cannot be loaded: ${(cause as Error).message}`, {
            cause,
          });
        }
      })
      .toReversed();
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  find<Arguments extends unknown[], Result>(
    name: string,
    result: CType,
    parameters: CType[],
  ): Native<Arguments, Result> | undefined {
    return this.#find(name)?.func(name, result, parameters) as Native<Arguments, Result> | undefined;
  }

  /** @throws BridgeError BRIDGE_MISSING_SYMBOL */
  require<Arguments extends unknown[], Result>(
    name: string,
    result: CType,
    parameters: CType[],
  ): Native<Arguments, Result> {
    const found = this.find<Arguments, Result>(name, result, parameters);
    if (found === undefined) throw new BridgeError('BRIDGE_MISSING_SYMBOL', `The library does not export ${name}.`);
    return found;
  }

  #find(name: string): Loaded | undefined {
    return this.#libraries.find((library) => {
      try {
        library.symbol(name);
        return true;
      } catch {
        return false;
      }
    });
  }
}
