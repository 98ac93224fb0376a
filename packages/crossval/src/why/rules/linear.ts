import type { OperationTable } from '../../operations.ts';
import { sameShape } from '../../trace/tap-layout.ts';
import type { Finding } from '../causes.ts';
import { cosineBetween, differingColumns, relativeError, scaleBetween, short } from '../measure.ts';
import { alike, type Scene, tensorOf } from '../scene.ts';
import { fusedRoundingCauses } from './fused-rounding.ts';

/** Products that are wrong on equal inputs, each tensor once. */
interface BrokenProducts {
  /** Names without step. */
  readonly names: readonly string[];
  /** How many products there are. */
  readonly of: number;
}

function brokenProducts(operations: OperationTable | undefined): BrokenProducts | undefined {
  const kind = operations?.kinds.find((of) => of.kind === 'linear');
  if (operations === undefined || kind === undefined) return undefined;
  const names = new Set(operations.inexact.filter((of) => of.kind === 'linear').map(({ name }) => name));
  const steps = new Set(operations.inexact.map(({ step }) => step));
  return { names: [...names], of: Math.round(kind.compared / Math.max(1, stepsOf(operations, steps))) };
}

/** A trace of several steps has each product once in every step. */
function stepsOf({ mode, ids }: OperationTable, seen: ReadonlySet<number>): number {
  return mode === 'sequential' ? ids.length : Math.max(1, seen.size);
}

/** A ternary product differs on equal inputs. */
export async function linearCauses(scene: Scene): Promise<Finding[]> {
  const { theirs, mine, layout, first, located, operations } = scene;
  const findings: Finding[] = await fusedRoundingCauses(scene);
  const { factor, residual } = scaleBetween(theirs, mine);
  const cosine = cosineBetween(theirs, mine);
  const columns = differingColumns(theirs, mine, layout.width);
  const broken = brokenProducts(operations);
  const tensor = tensorOf(first.name) ?? first.name;
  const all = broken !== undefined && broken.of > 2 && broken.names.length >= 0.9 * broken.of;
  const count =
    broken === undefined
      ? ''
      : `; fed with the reference's inputs, ${broken.names.length} of ${broken.of} products differ`;

  for (const other of alike(scene, 'linear')) {
    const values = await located.reference.values(other);
    if (values === undefined || !(relativeError(values, mine) < 1e-6)) continue;
    findings.push({
      id: 'swapped-tensors',
      strength: 0.98,
      evidence: `${first.name} of ours is the reference's ${other.name}`,
    });
  }
  const differs = `${first.name} differs in ${columns.size} of ${layout.width} outputs, relative ${short(relativeError(theirs, mine))}, cosine ${short(cosine)}${count}`;
  if (residual < 1e-5) {
    const evidence = `${first.name} (${tensor}) is the reference times ${short(factor)}${count}`;
    findings.push({ id: 'tensor-scale', strength: all ? 0.7 : 0.95, evidence });
    if (all) findings.push({ id: 'activation-quantization', strength: 0.6, evidence });
    return findings;
  }
  if (all) {
    const near = cosine > 0.9;
    findings.push({ id: 'activation-quantization', strength: near ? 0.93 : 0.3, evidence: differs });
    findings.push({ id: 'i2s-layout', strength: near ? 0.2 : 0.94, evidence: differs });
    return findings;
  }
  const partner = broken && partnerOf(first.name, broken.names, operations!, first.shape);
  if (partner !== undefined && columns.size > layout.width / 2) {
    const evidence = `of all products only ${first.name} and ${partner}, of one shape, are wrong on equal inputs`;
    findings.push({ id: 'swapped-tensors', strength: 0.9, evidence });
  }
  const partly = columns.size <= layout.width / 2;
  findings.push({ id: 'weight-values', strength: partly ? 0.93 : 0.7, evidence: differs });
  if (!partly && cosine < 0.9) {
    findings.push({ id: 'i2s-layout', strength: broken === undefined ? 0.72 : 0.35, evidence: differs });
  }
  if (cosine > 0.9) {
    findings.push({ id: 'activation-quantization', strength: broken === undefined ? 0.72 : 0.3, evidence: differs });
  }
  return findings;
}

/** The only other broken product, if it has the same shape. */
function partnerOf(
  name: string,
  names: readonly string[],
  { inexact }: OperationTable,
  shape: readonly number[],
): string | undefined {
  const others = names.filter((other) => other !== name);
  if (others.length !== 1) return undefined;
  const partner = inexact.find((of) => of.kind === 'linear' && of.name === others[0]);
  const count = shape.reduce((product, size) => product * size, 1);
  return partner !== undefined && sameShape([partner.metrics.count], [count]) ? partner.name : undefined;
}
