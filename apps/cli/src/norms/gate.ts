import { matchesGlob } from '@bittern/engine';
import type { Figure, Measured, Measurements } from './measure.ts';
import type { Limit, Rule, RuleSet } from './policy.ts';

/** What a tensor was refused for. */
export interface GateFailure {
  /** `*` for the file as a whole. */
  readonly tensor: string;
  /** `type` is the tensor's, `rule` says that none matches it, `count` that there is nothing to judge. */
  readonly figure: Figure | 'type' | 'rule' | 'count';
  /** What it is; null if it was not measured. */
  readonly value: number | string | null;
  /** What it must be, for people. */
  readonly limit: string;
}

/** Of the figures that a tensor has these are judged whether a rule names them or not. */
const ALWAYS: Readonly<Partial<Record<Figure, Limit>>> = {
  scale: { min: -Number.MAX_VALUE, max: Number.MAX_VALUE },
  nan: { max: 0 },
  inf: { max: 0 },
};

/**
 * Judges every tensor by the first rule that matches it. A comparison that cannot be made fails: a file without a norm,
 * a norm that cannot be measured, a tensor without a rule, a limit of a figure that is not there. Only of a projection
 * without figures and without limits there is nothing to say.
 */
export function judge({ norms, projections }: Measurements, ruleSet: RuleSet): GateFailure[] {
  if (norms.length === 0) return [{ tensor: '*', figure: 'count', value: 0, limit: 'at least one norm tensor' }];
  return [
    ...norms.flatMap((tensor) => judgeTensor(tensor, ruleSet.norms, true)),
    ...projections.flatMap((tensor) => judgeTensor(tensor, ruleSet.projections, false)),
  ];
}

function judgeTensor(
  { name, type, figures, unmeasured }: Measured,
  rules: readonly Rule[],
  mustBeMeasured: boolean,
): GateFailure[] {
  const rule = rules.find(({ pattern }) => matchesGlob(pattern, name));
  if (rule === undefined) return [{ tensor: name, figure: 'rule', value: null, limit: 'one that matches its name' }];
  if (rule.types !== undefined && !rule.types.includes(type)) {
    return [{ tensor: name, figure: 'type', value: type, limit: rule.types.join(' or ') }];
  }
  if (unmeasured !== undefined) {
    const isJudged = mustBeMeasured || rule.limits !== undefined;
    return isJudged ? [{ tensor: name, figure: 'type', value: type, limit: 'one that can be measured' }] : [];
  }
  const always = Object.entries(ALWAYS).filter(([figure]) => figure in figures);
  const limits = Object.entries({ ...Object.fromEntries(always), ...rule.limits }) as [Figure, Limit][];
  return limits.flatMap(([figure, limit]) => {
    const value = figures[figure];
    if (value !== undefined && isWithin(value, limit)) return [];
    return [{ tensor: name, figure, value: value ?? null, limit: limitText(limit) }];
  });
}

/** False for NaN. */
function isWithin(value: number, { min = -Infinity, max = Infinity }: Limit): boolean {
  return value >= min && value <= max;
}

function limitText({ min, max }: Limit): string {
  if (max === Number.MAX_VALUE) return 'finite';
  if (min === undefined) return `at most ${max}`;
  return max === undefined ? `at least ${min}` : `${min} to ${max}`;
}
