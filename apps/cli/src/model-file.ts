import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  type HeadKind,
  type I2sLayout,
  loadModel,
  type Model,
  type Numerics,
  type TextCodec,
  type Tl1Kernel,
} from '@bittern/engine';
import { type GgufDialectName, type GgufFile, type GgufSource, openGguf, openUrl } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import type { KernelVariant } from '@bittern/kernels';
import { readEnvironment } from './environment.ts';
import { inFile, UnusableFileError, UsageError } from './errors.ts';
import type { Io } from './io.ts';
import { ProgressLine, warn } from './output.ts';
import { readTl1Tiling } from './tl1-tiling-file.ts';

/** How to load a model: the values of the options that `run`, `logits` and `crossval` share. */
export interface LoadOptions {
  readonly layout: I2sLayout;
  /** Path of a file. */
  readonly tl1Tiling?: string;
  readonly tl1Kernel: Tl1Kernel;
  /** Default: the environment's, else `auto`. */
  readonly threads?: number | 'auto';
  /** Default `exact`. */
  readonly head?: HeadKind;
  /** Default `auto`. */
  readonly kernels?: KernelVariant | 'auto';
}

/** A GGUF file that is open: its header is read, tensors are not. */
export interface OpenedFile extends AsyncDisposable {
  readonly path: string;
  readonly gguf: GgufFile;
}

/** A model of which the weights can be loaded. */
export interface ModelFile extends OpenedFile {
  /** @param tokenizer - for prompts and answers of text */
  load(numerics: Numerics, options: LoadOptions, tokenizer?: TextCodec): Promise<Model>;
}

export interface OpenOptions {
  /** What the numbers of tensor types mean; default: decided from the file. */
  readonly dialect?: GgufDialectName | undefined;
  readonly i2sLayout?: I2sLayout | undefined;
}

/** Opens any GGUF file, whether it can run or not. Errors name it. */
export async function openGgufFile(path: string, io: Io, options: OpenOptions = {}): Promise<OpenedFile> {
  const source = await openFile(path);
  try {
    return { path, gguf: await openSource(source, io, options), [Symbol.asyncDispose]: () => source.close() };
  } catch (error) {
    await source.close();
    throw error; // its message names the file
  }
}

/** The same, of a file or of a URL, from which it reads only the header and the tensors that are asked for. */
export async function openPathOrUrl(pathOrUrl: string, io: Io, options: OpenOptions = {}): Promise<OpenedFile> {
  if (!/^https?:/i.test(pathOrUrl)) return openGgufFile(pathOrUrl, io, options);
  if (!URL.canParse(pathOrUrl)) throw new UsageError(`${pathOrUrl} is not a URL.`);
  const source = await reached(pathOrUrl, () => openUrl(pathOrUrl, { signal: io.signal }));
  return { path: pathOrUrl, gguf: await openSource(explained(source), io, options), async [Symbol.asyncDispose]() {} };
}

/** A source over HTTP of which a failed connection is told as such, at every read. */
function explained(source: GgufSource): GgufSource {
  return {
    ...source,
    read: (offsetBytes, lengthBytes, signal) =>
      reached(source.name, () => source.read(offsetBytes, lengthBytes, signal)),
    ...(source.parts && { parts: source.parts.map(explained) }),
  };
}

/** Opens a model file. Errors name it; warnings and progress go to stderr. */
export async function openModelFile(path: string, io: Io): Promise<ModelFile> {
  const { signal } = io;
  const onWarning = (message: string): void => warn(io, message);
  const file = await openGgufFile(path, io);
  return {
    ...file,
    async load(numerics, { layout, tl1Tiling, tl1Kernel, threads, head = 'exact', kernels = 'auto' }, tokenizer) {
      const tilings = await readTl1Tiling(tl1Tiling);
      using progress = new ProgressLine(io);
      try {
        return await loadModel(file.gguf, {
          numerics,
          i2sLayout: layout,
          tl1Tiling: tilings ?? {},
          tl1Kernel,
          threads: threads ?? readEnvironment(io).threads ?? 'auto',
          head,
          kernels,
          revectorize: true, // on Node 24 and newer, if its self-test passes
          ...(tokenizer && { tokenizer }),
          signal,
          onWarning,
          onProgress: ({ loadedBytes, totalBytes }) =>
            progress.show(`Loading: ${Math.floor((100 * loadedBytes) / totalBytes)} %`),
        });
      } catch (error) {
        throw inFile(path, error);
      }
    },
  };
}

function openSource(source: GgufSource, { signal }: Io, { dialect, i2sLayout }: OpenOptions): Promise<GgufFile> {
  return openGguf(source, {
    signal,
    ...(dialect === undefined ? {} : { dialect }),
    ...(i2sLayout === undefined ? {} : { i2sLayout }),
  });
}

/** Says of what fetch throws where there is no connection, which URL it was and why. */
async function reached<T>(url: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const why = error.cause instanceof Error ? error.cause.message : error.message;
    throw new UnusableFileError(url, new Error(`it cannot be reached (${why}). Check the URL and the network.`));
  }
}

/** SHA-256 of a file in lower-case hex, read in pieces. */
export async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
