import type { Located } from '../ladder/locate.ts';
import type { OperationTable } from '../operations.ts';
import type { TapDeviation } from '../trace/diff.ts';
import { type TapKind, tapKindOf } from '../trace/tap-kind.ts';
import { type TapLayout, layoutOf, sameShape, type StepTokens, tokensOfSteps } from '../trace/tap-layout.ts';
import type { TracedTap, TraceView } from '../trace/trace-view.ts';

/** The first differing operation with both results, and what stands around it. */
export interface Scene {
  readonly located: Located;
  readonly first: TapDeviation;
  readonly kind: TapKind;
  /** Values of the reference and ours. */
  readonly theirs: Float32Array;
  readonly mine: Float32Array;
  readonly layout: TapLayout;
  readonly steps: ReadonlyMap<number, StepTokens>;
  readonly operations: OperationTable | undefined;
}

/** @returns undefined where one side has the digest only: nothing can be measured then */
export async function sceneOf(located: Located, operations: OperationTable | undefined): Promise<Scene | undefined> {
  const { first } = located.diff;
  if (first === null) return undefined;
  const tap = located.reference.taps[first.index]!;
  const [theirs, mine] = await Promise.all([
    located.reference.values(tap),
    valuesOf(located.ours, first.name, first.occurrence, first.step),
  ]);
  if (theirs === undefined || mine === undefined) return undefined;
  const steps = tokensOfSteps(located.reference.taps, located.reference.mode);
  const layout = layoutOf(tap, steps.get(tap.step)!);
  return { located, first, kind: tapKindOf(first), theirs, mine, layout, steps, operations };
}

/** The values of an operation in a trace. */
export async function valuesOf(
  view: TraceView,
  name: string,
  occurrence: number,
  step: number,
): Promise<Float32Array | undefined> {
  const tap = view.taps.find((of) => of.name === name && of.occurrence === occurrence && of.step === step);
  return tap === undefined ? undefined : view.values(tap);
}

/** The reference's values of an operation in the layer and step of the first difference. */
export function inLayer({ located, first }: Scene, name: string, occurrence = 0): Promise<Float32Array | undefined> {
  return valuesOf(located.reference, `${name}-${first.layer}`, occurrence, first.step);
}

/** Operations of the reference with a shape like this one's in the same step, other than itself. */
export function alike({ located, first }: Scene, kind: TapKind): TracedTap[] {
  return located.reference.taps.filter(
    (tap, index) =>
      index !== first.index && tap.step === first.step && tapKindOf(tap) === kind && sameShape(tap.shape, first.shape),
  );
}

/** The tensor of a ternary product or norm, as GGUF names it. */
export function tensorOf(name: string): string | undefined {
  const [, operation, layer] = /^(.+)-(\d+)$/.exec(name) ?? [];
  const tensors: Readonly<Record<string, string>> = {
    Qcur: 'attn_q',
    Kcur: 'attn_k',
    Vcur: 'attn_v',
    attn_o_out: 'attn_output',
    ffn_gate: 'ffn_gate',
    ffn_up: 'ffn_up',
    ffn_down: 'ffn_down',
    attn_norm: 'attn_norm',
    attn_sub_norm: 'attn_sub_norm',
    ffn_norm: 'ffn_norm',
    ffn_sub_norm: 'ffn_sub_norm',
  };
  if (name === 'result_norm') return 'output_norm.weight';
  if (name === 'inp_embd' || name === 'result_output') return 'token_embd.weight';
  const tensor = operation === undefined ? undefined : tensors[operation];
  return tensor === undefined ? undefined : `blk.${layer}.${tensor}.weight`;
}
