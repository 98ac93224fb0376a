import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AbiLayouts } from './abi-layouts.ts';
import { chooseCpuVariant } from './cpu-variant.ts';
import { compareVersions, type ElfLibrary, readElf } from './elf.ts';
import { BridgeError } from './errors.ts';
import { checkAgainstRecord, type FetchRecord } from './fetch/record.ts';
import { LLAMA_0_5_0_LAYOUTS } from './ffi/layouts-llama-0.5.0.ts';
import { findHeaders } from './header-files.ts';
import { GENERATION_FUNCTIONS, generationOf, readHeaderLayouts } from './headers/layouts.ts';
import type { ApiGeneration, ReferenceLibrary } from './library.ts';
import { findLibraries, type LibraryFiles } from './library-files.ts';
import type { Place } from './places.ts';
import { refuseUnknownOptions } from './unknown-options.ts';

/** A library file of a reference. */
export interface InspectedFile {
  readonly role: 'llama' | 'ggml' | 'ggmlBase' | 'cpu';
  readonly path: string;
  readonly sha256: string;
  readonly machine: string;
  readonly glibcFloor: string | undefined;
  readonly glibcxxFloor: string | undefined;
  /** What compilers left in it; see {@link ReferenceLibrary.compilers}. */
  readonly compilers: readonly string[];
}

/** What is known about a reference without running it; as far as inspection came. */
export interface Inspection {
  readonly place: Place;
  readonly files: readonly InspectedFile[];
  /** CPU backends that are libraries of their own; the one that is used is `library.cpuVariant`. */
  readonly cpuVariants: readonly string[];
  /** Newest glibc that a file needs, and the one that runs here; undefined where there is none. */
  readonly glibc: { readonly needed: string | undefined; readonly here: string | undefined };
  readonly generation: ApiGeneration | undefined;
  /** Where the struct layouts came from: the headers' folders, or the table of a release. */
  readonly layoutSource: string | undefined;
  /** Release of llama.cpp, where the package says it. */
  readonly release: string | undefined;
  /** Where it is from, if `fetch-cpp` got it. */
  readonly record: FetchRecord | undefined;
  /** Ready to be run; undefined where `error` says why not. */
  readonly library: ReferenceLibrary | undefined;
  readonly error: BridgeError | undefined;
}

export interface InspectOptions {
  /** Name of the CPU backend, where there are several; default: `haswell` where the processor can run it. */
  readonly cpuVariant?: string;
  readonly signal?: AbortSignal;
}

/** No build of a reference has a larger library, not even with everything for debugging. */
const LARGEST_LIBRARY = 1 << 30;

/** Functions of both generations that the bridge calls. */
const REQUIRED_FUNCTIONS = [
  'llama_backend_init',
  'llama_model_default_params',
  'llama_context_default_params',
  'llama_tokenize',
  'llama_decode',
  'llama_get_logits_ith',
  'llama_free',
  'llama_log_set',
  'ggml_get_name',
  'ggml_nbytes',
  'ggml_is_contiguous',
  'ggml_backend_tensor_get',
  'ggml_backend_tensor_set',
];

/** Struct layouts of releases whose packages bring no headers. */
const KNOWN_LAYOUTS: Readonly<Record<string, AbiLayouts>> = { 'v0.5.0': LLAMA_0_5_0_LAYOUTS };

/**
 * The reference in a folder, ready to be run in a child process.
 *
 * @throws BridgeError that says what is missing or does not fit
 */
export async function referenceIn(place: Place, options: InspectOptions = {}): Promise<ReferenceLibrary> {
  const { library, error } = await inspect(place, options);
  if (library === undefined) throw error!;
  return library;
}

/**
 * Looks at a reference without loading it: files, formats, symbols, struct layouts. Never throws for what is wrong with it:
 * that is `error`, next to what was found before.
 */
export async function inspect(
  place: Place,
  { cpuVariant, signal, ...unknown }: InspectOptions = {},
): Promise<Inspection> {
  refuseUnknownOptions(unknown);
  const found: { -readonly [Key in keyof Inspection]: Inspection[Key] } = {
    place,
    files: [],
    cpuVariants: [],
    glibc: { needed: undefined, here: glibcHere() },
    generation: undefined,
    layoutSource: undefined,
    release: undefined,
    record: undefined,
    library: undefined,
    error: undefined,
  };
  try {
    const files = await findLibraries(place);
    found.cpuVariants = [...files.cpuVariants.keys()];
    const variant = await variantOf(files, cpuVariant);
    const roles = rolesOf(files, variant);
    const functions = new Set<string>();
    const inspected: InspectedFile[] = [];
    found.files = inspected;
    for (const [role, path] of roles) {
      signal?.throwIfAborted();
      const elf = await readLibrary(path);
      const { machine, glibcFloor, glibcxxFloor, compilers } = elf;
      const sha256 = await sha256OfFile(path, signal);
      inspected.push({ role, path, sha256, machine, glibcFloor, glibcxxFloor, compilers });
      refuseOtherMachines(path, elf);
      for (const name of elf.functions) functions.add(name);
    }
    const floors = inspected.flatMap(({ glibcFloor }) => glibcFloor ?? []).toSorted(compareVersions);
    found.glibc = { needed: floors.at(-1), here: found.glibc.here };
    refuseOtherGlibc(found.glibc, place);
    found.record = await checkAgainstRecord(inspected);
    found.generation = checkFunctions(functions, place);
    found.release = await releaseOf(files.llama);
    const { layouts, source } = await layoutsOf(place, found.release, found.generation);
    found.layoutSource = source;
    const [llama, ggml] = [files.llama, files.ggml];
    const cpu = variant === undefined ? undefined : files.cpuVariants.get(variant);
    found.library = {
      backend: place.backend,
      origin: place.origin,
      generation: found.generation,
      files: { llama, ggml, ...(files.ggmlBase && { ggmlBase: files.ggmlBase }), ...(cpu && { cpu }) },
      ...(variant && { cpuVariant: variant }),
      compilers: inspected.at(-1)!.compilers, // of the part that computes
      layouts,
    };
  } catch (error) {
    signal?.throwIfAborted();
    found.error = asBridgeError(error, place);
  }
  return found;
}

async function variantOf(files: LibraryFiles, wanted: string | undefined): Promise<string | undefined> {
  const available = [...files.cpuVariants.keys()];
  if (wanted !== undefined && !available.includes(wanted)) {
    throw new BridgeError(
      'BRIDGE_NOT_FOUND',
      `${files.folder} has no CPU backend ${JSON.stringify(wanted)}. It has: ${available.join(', ') || 'one that is built in'}.`,
    );
  }
  return wanted ?? (available.length === 0 ? undefined : await chooseCpuVariant(available));
}

function rolesOf(
  files: LibraryFiles,
  variant: string | undefined,
): readonly (readonly [InspectedFile['role'], string])[] {
  const roles: [InspectedFile['role'], string][] = [
    ['llama', files.llama],
    ['ggml', files.ggml],
  ];
  if (files.ggmlBase !== undefined) roles.push(['ggmlBase', files.ggmlBase]);
  if (variant !== undefined) roles.push(['cpu', files.cpuVariants.get(variant)!]);
  return roles;
}

async function readLibrary(path: string): Promise<ElfLibrary> {
  const { size } = await stat(path);
  if (size > LARGEST_LIBRARY) {
    throw new BridgeError('BRIDGE_BAD_LIBRARY', `${path} has ${size} bytes, more than any build of a reference.`);
  }
  return readElf(await readFile(path), path);
}

function refuseOtherMachines(path: string, { machine }: ElfLibrary): void {
  if (machine === process.arch && process.platform === 'linux') return;
  throw new BridgeError(
    'BRIDGE_BAD_LIBRARY',
    `${path} is a library for linux-${machine}, but this is ${process.platform}-${process.arch}.`,
  );
}

function refuseOtherGlibc({ needed, here }: Inspection['glibc'], { origin }: Place): void {
  if (needed === undefined || (here !== undefined && compareVersions(here, needed) >= 0)) return;
  const what = here === undefined ? 'this system has another C library' : `this system has ${here}`;
  throw new BridgeError('BRIDGE_BAD_LIBRARY', `${origin} needs glibc ${needed} or newer; ${what}.`);
}

function checkFunctions(functions: ReadonlySet<string>, { origin, backend }: Place): ApiGeneration {
  // The product of I2_S weights and int8 activations, which only bitnet.cpp has.
  const isBitnet = functions.has('ggml_vec_dot_i2_i8_s');
  const generation = generationOf(functions);
  if (generation === undefined) {
    const missing = Object.entries(GENERATION_FUNCTIONS).map(
      ([name, needed]) => `for the ${name} API ${needed.filter((each) => !functions.has(each)).join(', ')}`,
    );
    throw new BridgeError('BRIDGE_MISSING_SYMBOL', `${origin} lacks functions: ${missing.join('; ')}.`);
  }
  const missing = REQUIRED_FUNCTIONS.filter((name) => !functions.has(name));
  if (missing.length > 0) {
    throw new BridgeError('BRIDGE_MISSING_SYMBOL', `${origin} lacks functions: ${missing.join(', ')}.`);
  }
  if (backend === 'bitnet' && !isBitnet) {
    const hint = 'it is a llama.cpp, which has LLAMA_CPP_DIR';
    throw new BridgeError('BRIDGE_WRONG_LIBRARY', `${origin} is no bitnet.cpp (no ggml_vec_dot_i2_i8_s): ${hint}.`);
  }
  if (backend === 'llama' && isBitnet) {
    const hint = 'give it as BITNET_CPP_DIR';
    throw new BridgeError('BRIDGE_WRONG_LIBRARY', `${origin} is a bitnet.cpp (it has ggml_vec_dot_i2_i8_s): ${hint}.`);
  }
  return generation;
}

/** The npm package says beside its libraries which release they are. */
async function releaseOf(llama: string): Promise<string | undefined> {
  try {
    const text = await readFile(join(dirname(llama), '_nlcBuildMetadata.json'), 'utf8');
    const { buildOptions } = JSON.parse(text) as { buildOptions?: { llamaCpp?: { release?: unknown } } };
    const release = buildOptions?.llamaCpp?.release;
    return typeof release === 'string' && /^[\w.-]{1,40}$/.test(release) ? release : undefined;
  } catch {
    return undefined;
  }
}

async function layoutsOf(
  place: Place,
  release: string | undefined,
  generation: ApiGeneration,
): Promise<{ layouts: AbiLayouts; source: string }> {
  const headers = await findHeaders(place);
  if (headers !== undefined) {
    const read = readHeaderLayouts(headers.source);
    const source = `headers in ${headers.folders.join(', ')}`;
    if (read.generation === generation) return { layouts: read.layouts, source };
    throw new BridgeError(
      'BRIDGE_NO_LAYOUT',
      `The ${source} declare the ${read.generation} API, but the library has the ${generation} one: they are not of one build.`,
    );
  }
  const layouts = KNOWN_LAYOUTS[release ?? ''];
  if (layouts !== undefined) return { layouts, source: `table of ${release}` };
  throw new BridgeError(
    'BRIDGE_NO_LAYOUT',
    `${place.origin} has no llama.h, and ${release === undefined ? 'does not say which release it is' : `no table for release ${release} is known`}. Set the variable to a source tree with its build, or to an installation with its headers.`,
  );
}

/** SHA-256 of a file in hexadecimal. */
async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

function glibcHere(): string | undefined {
  // Node 22 has the property; its types do not.
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
  // Otherwise it asks the network for the names of all that this process talks to.
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  try {
    return (report.getReport() as { header?: { glibcVersionRuntime?: string } }).header?.glibcVersionRuntime;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

function asBridgeError(error: unknown, { origin }: Place): BridgeError {
  if (error instanceof BridgeError) return error;
  // Of the system: a file that may not be read, or that is gone.
  if (error instanceof Error && 'syscall' in error) {
    return new BridgeError('BRIDGE_BAD_LIBRARY', `${origin} cannot be read: ${error.message}.`, { cause: error });
  }
  throw error;
}
