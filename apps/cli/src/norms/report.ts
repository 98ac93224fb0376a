import type { GgufFile } from '@bittern/gguf-parser';
import { UsageError } from '../errors.ts';
import { readText, readValue, valueText } from '../metadata-listing.ts';
import { printable, table } from '../output.ts';
import { builtInPolicy } from './built-in-policy.ts';
import { type GateFailure, judge } from './gate.ts';
import { type Figure, FIGURES, type Measured, type Measurements } from './measure.ts';
import { chooseRuleSet, readPolicy, type RuleSet } from './policy.ts';

/** What `inspect --ln-stats --json` prints. */
export interface NormReport extends Measurements {
  readonly file: string;
  readonly architecture: string | null;
  /** `general.file_type`; null if the file does not say. */
  readonly fileType: number | null;
  readonly gate: Gate;
  /** `not-gated` with `--gate none`. */
  readonly verdict: 'pass' | 'fail' | 'not-gated';
  readonly failures: readonly GateFailure[];
}

export interface Gate {
  /** `none`, `auto` or the policy file. */
  readonly given: string;
  readonly ruleSet: RuleSet | null;
}

/**
 * Chooses the rule set before anything is measured.
 *
 * @param given - the value of `--gate`
 */
export async function openGate(given: string, gguf: GgufFile): Promise<Gate> {
  if (given === 'none') return { given, ruleSet: null };
  const policy = given === 'auto' ? builtInPolicy : await readPolicy(given);
  const { architecture, fileType } = kindOf(gguf);
  const ruleSet = chooseRuleSet(policy, architecture ?? undefined, fileType ?? undefined);
  if (ruleSet !== undefined) return { given, ruleSet };
  throw new UsageError(`${given}: no rule set fits ${kindText(architecture, fileType)}; add one, or use --gate auto.`);
}

export function reportNorms(path: string, gguf: GgufFile, gate: Gate, measurements: Measurements): NormReport {
  const failures = gate.ruleSet === null ? [] : judge(measurements, gate.ruleSet);
  const verdict = gate.ruleSet === null ? 'not-gated' : failures.length === 0 ? 'pass' : 'fail';
  return { file: path, ...kindOf(gguf), gate, verdict, failures, ...measurements };
}

export function normReportText({
  architecture,
  fileType,
  gate,
  verdict,
  failures,
  norms,
  projections,
}: NormReport): string {
  const sections = [
    `Norms: ${norms.length}\n${figuresTable(norms)}`,
    `Projections: ${projections.length}\n${figuresTable(projections)}`,
  ];
  if (gate.ruleSet === null) return [...sections, 'Gate: none\n'].join('\n');
  const { name, reason } = gate.ruleSet;
  const unmeasured = projections.filter((tensor) => tensor.unmeasured !== undefined).length;
  const counts = `${norms.length} norms, ${projections.length} projections`;
  const without = unmeasured === 0 ? '' : ` (${unmeasured} of them not measured)`;
  return [
    ...sections,
    `Gate: rule set ${printable(name)} of ${gate.given === 'auto' ? 'auto' : printable(gate.given)}, for ${kindText(architecture, fileType)}\n` +
      (reason === undefined ? '' : `  ${printable(reason)}\n`) +
      failures.map((failure) => `  ${failureText(failure)}\n`).join('') +
      (verdict === 'pass'
        ? `Passed: ${counts}${without}\n`
        : `FAILED: ${counts}${without}; broken limits: ${failures.length}\n`),
  ].join('\n');
}

function failureText({ tensor, figure, value, limit }: GateFailure): string {
  const is = value === null ? 'is not there' : `is ${typeof value === 'number' ? figureText(value) : value}`;
  return `${tensor === '*' ? 'the file' : printable(tensor)}: ${figure} ${is}, must be ${limit}`;
}

function kindOf({ metadata }: GgufFile): Pick<NormReport, 'architecture' | 'fileType'> {
  const fileType = readValue(metadata, 'general.file_type');
  return {
    architecture: readText(metadata, 'general.architecture') ?? null,
    fileType: typeof fileType === 'number' ? fileType : null,
  };
}

function kindText(architecture: string | null, fileType: number | null): string {
  const named = architecture === null ? 'no architecture' : `architecture ${valueText(architecture)}`;
  return `${named} and ${fileType === null ? 'no file type' : `file type ${fileType}`}`;
}

function figuresTable(tensors: readonly Measured[]): string {
  if (tensors.length === 0) return '';
  const columns = FIGURES.filter((figure) => tensors.some(({ figures }) => figure in figures));
  const rows = tensors.map(({ name, type, figures, unmeasured }) => [
    `  ${printable(name)}`,
    type,
    ...(unmeasured === undefined
      ? columns.map((figure) => cell(figures, figure))
      : [`not measured: ${printable(unmeasured)}`]),
  ]);
  return table([['  tensor', 'type', ...columns], ...rows]);
}

function cell(figures: Measured['figures'], figure: Figure): string {
  const value = figures[figure];
  return value === undefined ? '-' : figureText(value);
}

function figureText(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(6);
}
