import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type I2sLayout, loadModel, type Model, type Numerics, type Tl1Kernel } from '@bittern/engine';
import { type GgufFile, openGguf } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { type Tokenizer, tokenizerFromGguf } from '@bittern/tokenizer';
import { inFile } from './errors.ts';
import type { Io } from './io.ts';
import { ProgressLine, warn } from './output.ts';
import { readTl1Tiling } from './tl1-tiling-file.ts';

/** How to load a model: the values of the options that `run`, `logits` and `crossval` share. */
export interface LoadOptions {
  readonly layout: I2sLayout;
  /** Path of a file. */
  readonly tl1Tiling?: string;
  readonly tl1Kernel: Tl1Kernel;
  readonly threads: number | 'auto';
}

/** A model file that is open: metadata is read, weights are not. */
export interface ModelFile extends AsyncDisposable {
  readonly path: string;
  readonly gguf: GgufFile;
  tokenizer(): Tokenizer;
  load(numerics: Numerics, options: LoadOptions): Promise<Model>;
}

/** Opens a model file. Errors name it; warnings and progress go to stderr. */
export async function openModelFile(path: string, io: Io): Promise<ModelFile> {
  const { signal } = io;
  const onWarning = (message: string): void => warn(io, message);
  const source = await openFile(path);
  try {
    const gguf = await openGguf(source, { signal });
    return {
      path,
      gguf,
      tokenizer() {
        try {
          return tokenizerFromGguf(gguf.metadata, { onWarning });
        } catch (error) {
          throw inFile(path, error);
        }
      },
      async load(numerics, { layout, tl1Tiling, tl1Kernel, threads }) {
        const tilings = tl1Tiling === undefined ? {} : await readTl1Tiling(tl1Tiling);
        using progress = new ProgressLine(io);
        try {
          return await loadModel(gguf, {
            numerics,
            i2sLayout: layout,
            tl1Tiling: tilings,
            tl1Kernel,
            threads,
            signal,
            onWarning,
            onProgress: ({ loadedBytes, totalBytes }) =>
              progress.show(`Loading: ${Math.floor((100 * loadedBytes) / totalBytes)} %`),
          });
        } catch (error) {
          throw inFile(path, error);
        }
      },
      [Symbol.asyncDispose]: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error; // its message names the file
  }
}

/** SHA-256 of a file in lower-case hex, read in pieces. */
export async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
