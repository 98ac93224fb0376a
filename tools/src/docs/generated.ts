import { type LadderThresholds, PLAYBOOK_THRESHOLDS, type RowLimits } from '@bittern/crossval';

/** The parity playbook's limits, as the program has them. */
export function thresholdsTable({ firstLogit, positions }: LadderThresholds = PLAYBOOK_THRESHOLDS): string {
  const metrics = ['mse', 'kl', 'top5', 'maxAbs'] as const;
  const others = Object.keys({ ...firstLogit, ...positions }).filter(
    (name) => !metrics.some((known) => known === name),
  );
  if (others.length > 0) throw new Error(`The table of thresholds has no column for ${others.join(', ')}.`);
  const cell = (limits: RowLimits, metric: (typeof metrics)[number]): string => {
    const limit = limits[metric];
    if (limit === undefined) return '';
    return metric === 'top5' ? `≥ ${100 * limit} %` : `≤ ${limit.toExponential()}`;
  };
  const row = (rung: string, limits: RowLimits): string =>
    `| \`${rung}\` | ${metrics.map((metric) => cell(limits, metric)).join(' | ')} | |`;
  return [
    '| rung | MSE | KL divergence | top-5 overlap | max abs diff | |',
    '|---|---|---|---|---|---|',
    '| `tokens`, `shapes`, `masks` | | | | | identical |',
    row('first-logit', firstLogit),
    row('positions', positions),
    '| `decode` | | | | | identical ids |',
    '| any, with `--exact` | | | | 0 | no differing bit |',
  ].join('\n');
}

/** A command as `bittern complete --definitions` gives it. */
export interface CommandDefinition {
  readonly command: string;
  readonly description: string;
  readonly help: string;
}

/** docs/cli.md between its marks. */
export function commandReference(commands: readonly CommandDefinition[]): string {
  const rows = commands.map(({ command, description }) => `| [\`${command}\`](#${anchor(command)}) | ${description} |`);
  const sections = commands.map(({ command, help }) => `## ${command}\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`);
  return ['| command | |', '|---|---|', ...rows, '', ...sections].join('\n');
}

function anchor(heading: string): string {
  return heading.toLowerCase().replaceAll(' ', '-');
}
