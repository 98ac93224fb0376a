import type { LadderCase } from '../case.ts';
import { errorOf } from '../ladder/compare-row-streams.ts';
import type { Located } from '../ladder/locate.ts';
import type { DecodeStep, LadderFailure } from '../ladder/report.ts';
import type { OperationTable } from '../operations.ts';
import { sha256OfFloats } from '../sha256.ts';
import type { EvaluationMode, Side } from '../side.ts';
import { captureTrace } from '../trace/capture.ts';
import { RESIDUAL } from '../trace/diff.ts';
import { type Cause, type Finding, rankCauses } from './causes.ts';
import { relativeError, short } from './measure.ts';
import { scoreCauses, softmaxCauses, valueCauses } from './rules/attention.ts';
import { embeddingCauses } from './rules/embedding.ts';
import { activationCauses, residualCauses } from './rules/feed-forward.ts';
import { rowCauses, headCauses } from './rules/head.ts';
import { linearCauses } from './rules/linear.ts';
import { gammaCauses, normalizeCauses } from './rules/norm.ts';
import { ropeCauses } from './rules/rope.ts';
import { type Scene, sceneOf, tensorOf } from './scene.ts';

export interface ExplainInput {
  readonly failure: LadderFailure;
  readonly located: Located | undefined;
  readonly operations: OperationTable | undefined;
  /** The case that failed. */
  readonly ladderCase: LadderCase | undefined;
  readonly ours: Side;
  readonly reference: Side;
  readonly steps: readonly DecodeStep[];
  readonly signal: AbortSignal | undefined;
}

/** Probable causes of a failure beyond the tokens, strongest first. */
export async function explain(input: ExplainInput): Promise<Cause[]> {
  const { failure, located, ours } = input;
  const findings: Finding[] = [...(await instability(input)), ...fromFailure(failure)];
  const scene = located === undefined ? undefined : await sceneOf(located, input.operations);
  if (scene !== undefined) findings.push(...(await fromScene(scene)));
  else if (located?.diff.first != null) findings.push(...byNameAlone(located));
  else if (failure.rung === 'first-logit' || failure.rung === 'positions') findings.push(...(await fromRows(input)));
  if (failure.rung === 'decode') findings.push(...fromDecode(failure, scene));
  const first = located?.diff.first;
  return rankCauses(findings, {
    model: ours.identity.model.file,
    tensor: first == null ? undefined : tensorOf(first.name),
  });
}

/** What the first differing operation tells. */
async function fromScene(scene: Scene): Promise<Finding[]> {
  const { first, mine, theirs } = scene;
  const bad = [theirs, mine].findIndex((values) => !values.every((value) => Number.isFinite(value)));
  if (bad >= 0) {
    const evidence = `${first.name} of ${bad === 0 ? 'the reference' : 'ours'} holds NaN or infinity; all before it is equal`;
    return [{ id: 'not-finite', strength: 0.9, evidence }];
  }
  switch (scene.kind) {
    case 'embedding':
      return embeddingCauses(scene);
    case 'normalize':
      return normalizeCauses(scene);
    case 'gamma':
      return gammaCauses(scene);
    case 'linear':
      return linearCauses(scene);
    case 'rope':
      return ropeCauses(scene);
    case 'scores':
      return scoreCauses(scene);
    case 'softmax':
      return softmaxCauses(scene);
    case 'values':
    case 'merge':
      return valueCauses(scene);
    case 'activation':
    case 'square':
    case 'gate':
      return activationCauses(scene);
    case 'residual':
      return residualCauses(scene);
    case 'head':
      return headCauses(scene);
    case 'other':
      return [];
  }
}

/** Digests tell where, not how: what is usual there, weakly. */
function byNameAlone({ diff, reference }: Located): Finding[] {
  const first = diff.first!;
  const evidence = `${first.name} is the first whose digest differs; without values of ${reference.side.name} nothing can be measured`;
  const usual: readonly [RegExp, Finding['id']][] = [
    [/^inp_embd$/, 'embedding-rows'],
    [/^norm/, 'norm-epsilon'],
    [/_norm/, 'norm-gamma'],
    [/^kq_soft/, 'softmax-scale'],
    [/^kq-|^kqv/, 'kv-stale-cell'],
    [/^ffn_(?:relu|silu|sqr|out|sub_out)/, 'activation-function'],
    [/^result_output$/, 'tied-head'],
    [/^(?:ffn_inp|l_out)/, 'residual-add'],
  ];
  const found =
    first.occurrence === 1 && /^[QK]cur/.test(first.name)
      ? 'rope-scale'
      : usual.find(([pattern]) => pattern.test(first.name))?.[1];
  return [{ id: found ?? 'weight-values', strength: 0.4, evidence }];
}

/** What the kind of failure tells by itself. */
function fromFailure({ code, message, details }: LadderFailure): Finding[] {
  switch (code) {
    case 'MASK_LEAK':
    case 'MASK_DIFFERS':
      return [{ id: 'causal-mask', strength: 0.99, evidence: message }];
    case 'KV_CELLS':
      return [{ id: 'kv-cells', strength: 0.95, evidence: message }];
    case 'ROW_LENGTH_DIFFERS':
      return [{ id: 'vocabulary-size', strength: 0.97, evidence: message }];
    case 'NON_FINITE':
      return [{ id: 'not-finite', strength: 0.7, evidence: message }];
    case 'TAP_MISSING':
    case 'TAP_UNEXPECTED':
    case 'TAP_ORDER_DIFFERS':
    case 'SHAPE_DIFFERS': {
      const activation = /ffn_(?:relu|silu|sqr)/.test(JSON.stringify(details));
      const finding: Finding = { id: 'architecture', strength: 0.9, evidence: message };
      return activation ? [finding, { id: 'activation-function', strength: 0.92, evidence: message }] : [finding];
    }
    default:
      return [];
  }
}

/** Every traced operation is equal and rows are not: they are evaluated once more, and looked at. */
async function fromRows({ failure, ladderCase, ours, reference, signal }: ExplainInput): Promise<Finding[]> {
  if (ladderCase === undefined || failure.position === undefined) return [];
  const { position } = failure;
  const [theirs, mine] = [
    await rowsBy(reference, ladderCase, position, signal),
    await rowsBy(ours, ladderCase, position, signal),
  ];
  const [a, b] = [theirs?.get(position), mine?.get(position)];
  if (a === undefined || b === undefined || a.length !== b.length) return [];
  const exchanged = [...theirs!].find(([other, row]) => other !== position && relativeError(row, b) === 0);
  const findings = rowCauses(`the row of position ${position}`, a, b).filter(
    ({ id }) => id === 'logit-scale' || id === 'vocabulary-offset',
  );
  const error = short(relativeError(a, b));
  const evidence =
    exchanged === undefined
      ? `all traced operations are equal; the row of position ${position} differs by ${error}`
      : `the row of position ${position} is the reference's of position ${exchanged[0]}`;
  return [...findings, { id: 'exchanged-rows', strength: exchanged === undefined ? 0.6 : 0.97, evidence }];
}

/** How far from the failure an exchanged row is looked for. */
const NEARBY = 32;

/** The rows around one position, where a side gives values. */
async function rowsBy(
  side: Side,
  { ids, mode }: LadderCase,
  around: number,
  signal: AbortSignal | undefined,
): Promise<Map<number, Float32Array> | undefined> {
  const rows = new Map<number, Float32Array>();
  const error = await errorOf(signal, () =>
    side.evaluate(ids, {
      mode,
      ...(signal === undefined ? {} : { signal }),
      onLogits: ({ position, values }) => {
        if (values !== undefined && Math.abs(position - around) <= NEARBY) rows.set(position, values.slice());
      },
    }),
  );
  return error === undefined ? rows : undefined;
}

/** What the generated ids tell. */
function fromDecode({ code, details }: LadderFailure, scene: Scene | undefined): Finding[] {
  const { step, referenceGap, ourGap, maxAbs, reference, ours } = details;
  const ids = `step ${JSON.stringify(step)}: the reference has ${JSON.stringify(reference)}, ours ${JSON.stringify(ours)}`;
  if (code === 'GREEDY_NOT_LARGEST') {
    return [{ id: 'sampler', strength: 0.97, evidence: 'an id was chosen that is not the largest of its own row' }];
  }
  if (code === 'GREEDY_DIFFERS' && maxAbs === 0) {
    const tie = referenceGap === 0 || ourGap === 0;
    const evidence = `${ids}, from equal rows whose largest logits are ${tie ? 'equal' : `${JSON.stringify(referenceGap)} apart`}`;
    return [
      { id: 'sampling-tie', strength: tie ? 0.98 : 0.2, evidence },
      { id: 'sampler', strength: tie ? 0.5 : 0.97, evidence },
    ];
  }
  const evidence = `the prompt agrees; ${code === 'GREEDY_DIFFERS' ? ids : 'a generated row differs'}`;
  // The same operation is wrong one token at a time only: what the batch has in its hands, a step has from the cache.
  const cache = scene?.kind === 'scores' || scene?.kind === 'values' || scene?.kind === 'softmax';
  return [{ id: 'kv-update', strength: cache ? 0.98 : scene === undefined ? 0.85 : 0.4, evidence }];
}

/** Runs each side twice more: a side that does not agree with itself explains anything. */
async function instability({ located, ladderCase, ours, reference, signal }: ExplainInput): Promise<Finding[]> {
  const ids = located?.ids ?? ladderCase?.ids;
  const mode = located?.mode ?? ladderCase?.mode;
  if (ids === undefined || mode === undefined) return [];
  const findings: Finding[] = [];
  for (const [whose, side] of [
    ['our side', ours],
    ['the reference', reference],
  ] as const) {
    const runs: string[] = [];
    const error = await errorOf(signal, async () => {
      for (let run = 0; run < 2; run++) runs.push(await digestOfRun(side, ids, mode, signal));
    });
    // A recording may hold no such run; a side that throws has failed by that name.
    if (error !== undefined || runs[0] === runs[1]) continue;
    const evidence = `${whose} computed ${ids.length} ids twice in mode ${mode}, and not the same`;
    findings.push({ id: 'nondeterminism', strength: 1, evidence });
  }
  return findings;
}

/** The residual stream and the rows of one run. */
async function digestOfRun(
  side: Side,
  ids: readonly number[],
  mode: EvaluationMode,
  signal: AbortSignal | undefined,
): Promise<string> {
  const digests: (Promise<string> | string)[] = [];
  await side.evaluate(ids, {
    mode,
    ...(signal === undefined ? {} : { signal }),
    onLogits: ({ values, sha256 }) => {
      digests.push(values === undefined ? (sha256 ?? '') : sha256OfFloats(values));
    },
  });
  const error = await errorOf(signal, async () => {
    const view = await captureTrace(side, ids, { mode, signal, keep: ({ name }) => RESIDUAL.test(name) });
    digests.push(...view.taps.map(({ sha256 }) => sha256 ?? ''));
  });
  return `${(await Promise.all(digests)).join()} ${error === undefined}`;
}
