import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bisect,
  type BisectResult,
  calibrated,
  type LadderReport,
  measureNoise,
  runLadder,
  RUNGS,
  type Rung,
} from '@bittern/crossval';
import { sealParity } from '@bittern/receipts';
import { modelUrl } from '@bittern/storyteller';
import { engineSide } from '../engine-side.ts';
import { isUnusable, messageOf, NotComparedError, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import type { ForcedOperation } from '../live/forced-operations.ts';
import { openModelFile, sha256OfFile } from '../model-file.ts';
import { ProgressLine } from '../output.ts';
import { type ComparedRun, parityContent } from '../receipt/parity-content.ts';
import { type ReceiptWriter, receiptWriter } from '../receipt/write.ts';
import { loadTokenizer } from '../tokenizer-file.ts';
import { type CrossvalDocument, notCompared, summarize } from './document.ts';
import { thresholdsOf } from './limits.ts';
import type { CrossvalOptions } from './options.ts';
import { keepTraces, safeName } from './keep-traces.ts';
import {
  evaluatesAnything,
  openReference,
  type OurModel,
  type ReferenceRun,
  requireRecordedModel,
} from './reference.ts';

/** Climbs the ladder against every reference that the options name. What keeps a comparison from taking place is in the document. */
export async function compare(options: CrossvalOptions, io: Io): Promise<CrossvalDocument> {
  if (options.key !== undefined && options.receipt === undefined) {
    throw new UsageError('--key is for a receipt: give --receipt FILE, too.');
  }
  const writeReceipt = options.receipt === undefined ? undefined : await receiptWriter(options.receipt, options.key);
  try {
    return await compareAll(options, writeReceipt, io);
  } catch (error) {
    if (io.signal.aborted || !(error instanceof NotComparedError || isUnusable(error))) throw error;
    return notCompared(`nothing was compared: ${messageOf(error)}`);
  }
}

async function compareAll(
  options: CrossvalOptions,
  writeReceipt: ReceiptWriter | undefined,
  io: Io,
): Promise<CrossvalDocument> {
  if (options.bisect && !evaluatesAnything(options)) {
    throw new UsageError(
      '--bisect evaluates prefixes of the prompt, which a recording does not hold. Give --reference-model, --reference-numerics, or --cpp-backend llama or bitnet.',
    );
  }
  if (options.only && options.ladder === undefined) throw new UsageError('--only needs --ladder with the rung.');
  await requireRecordedModel(options);
  const thresholds = await thresholdsOf(options);
  await using file = await openModelFile(options.model ?? fileURLToPath(modelUrl), io);
  const sha256 = await sha256OfFile(file.path, io.signal);
  const ours: OurModel = { file, sha256, tokenizer: await loadTokenizer(file, options, io) };
  await using reference = await openReference(options, ours, io);
  const ladders: LadderReport[] = [];
  const compared: ComparedRun[] = [];
  const bisected: (BisectResult | null)[] = [];
  const forced: (readonly ForcedOperation[])[] = [];
  for (const run of reference.runs) {
    const climbed = await climb(run, ours, { ...options, limits: thresholds }, io);
    ladders.push(climbed.report);
    compared.push(climbed);
    if (options.bisect) bisected.push(climbed.bisected);
    if (climbed.forced !== null) forced.push(climbed.forced);
  }
  if (options.perOp && ladders.every(({ operations }) => operations === null)) {
    const notes = ladders.flatMap(({ whereNotes }) => whereNotes);
    throw new NotComparedError(`--per-op could feed no operation. ${notes.join(' ')}`);
  }
  if (writeReceipt) await writeReceipt(await sealParity(await parityContent(ours, compared, io)));
  return summarize({
    backend: reference.backend,
    ladders,
    forcedOperations: forced.length === 0 ? null : forced.flat(),
    notInstalled: reference.notInstalled,
    ...(options.bisect ? { bisect: bisected } : {}),
  });
}

interface Climbed extends ComparedRun {
  readonly bisected: BisectResult | null;
  readonly forced: readonly ForcedOperation[] | null;
}

async function climb(
  run: ReferenceRun,
  { file, sha256, tokenizer: { tokenizer } }: OurModel,
  options: CrossvalOptions & { readonly limits: Awaited<ReturnType<typeof thresholdsOf>> },
  io: Io,
): Promise<Climbed> {
  const { side: reference, cases } = run;
  const { signal } = io;
  using model = await file.load(run.numerics, options);
  using engine = engineSide(model, tokenizer, sha256);
  const ours = run.view?.(engine) ?? engine;
  using progress = new ProgressLine(io);
  const noise = options.calibrate ? await measureNoise(run.variants, cases, signal) : [];
  const thresholds = options.calibrate ? calibrated(options.limits, noise) : options.limits;
  const { from = 0, positions = 'all' } = options;
  const rungs = rungsOf(options, run);
  const report = await runLadder({
    ours,
    reference,
    cases,
    exact: options.exact === true,
    thresholds,
    rungs,
    sameModel: run.sameModel,
    positions: { from, ...(positions === 'all' ? {} : { count: positions }) },
    perOp: options.perOp === true,
    noise,
    piece: (id) => (id < tokenizer.vocabSize ? tokenizer.piece(id) : `[id ${id}]`),
    signal,
    onProgress: ({ rung, case: id, done, total }) =>
      progress.show(`${run.label}: ${rung}, case ${done + 1} of ${total} (${id})`),
  });
  if (options.traces !== undefined)
    await keepTraces(join(options.traces, safeName(run.label)), { ours, reference }, cases, io);
  const [first] = cases;
  let bisected: BisectResult | null = null;
  if (options.bisect && first !== undefined) {
    const { ids, mode } = cases.find(({ id }) => id === report.failures[0]?.case) ?? first;
    const limits = report.thresholds.positions;
    bisected = (await bisect(ours, reference, ids, { mode, limits, signal })) ?? null;
  }
  const wanted = rungs.includes('positions') && run.compareOperations !== undefined;
  const { kernelVariant: variant, threads } = model;
  return {
    report,
    numerics: run.numerics,
    kernels: { variant, threads },
    bisected,
    forced: wanted ? await run.compareOperations(engine) : null,
  };
}

/** The rungs that were asked for. First logits are not asked of positions and modes that have none. */
function rungsOf({ ladder = 'decode', only, from = 0 }: CrossvalOptions, { cases }: ReferenceRun): Rung[] {
  const upTo = RUNGS.slice(0, RUNGS.indexOf(ladder) + 1);
  const wanted = only ? upTo.filter((rung) => rung === 'preflight' || rung === ladder) : upTo;
  const hasFirst = from === 0 && cases.some(({ mode, ids }) => mode !== 'batch-last' || ids.length === 1);
  return wanted.filter((rung) => rung !== 'first-logit' || hasFirst);
}
