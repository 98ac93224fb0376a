import type { LayerDrift, TapDeviation, TapReference, TraceDiff } from './diff.ts';

/** Width of the longest bar of the drift curve. */
const BAR = 32;

/** The comparison of two traces as plain text, for people. */
export function renderTraceDiff(diff: TraceDiff): string {
  const { verdict, tolerance, compared, byValue, byDigest, differing, first, lastEqual } = diff;
  const limit = tolerance === null ? 'exact' : `tolerance ${tolerance} of the largest value`;
  const lines = [
    `Traces: ${{ equal: 'EQUAL', within: 'WITHIN THE TOLERANCE', differs: 'DIFFER' }[verdict]} (${limit})`,
    `  ${compared} operations compared (${byValue} by value, ${byDigest} by digest), ${differing} differ`,
  ];
  if (first !== null) {
    lines.push('', `First difference  ${describeDeviation(first)}`);
    lines.push(
      `Last equal        ${lastEqual === null ? 'none: it is the first operation' : describePlace(lastEqual)}`,
    );
  }
  if (differing > 0) lines.push('', 'Drift of the residual stream (difference over value):', ...driftLines(diff.drift));
  return `${lines.join('\n')}\n`;
}

export function describePlace({ name, occurrence, step, layer, index }: TapReference): string {
  const where = layer === null ? '' : `layer ${layer}, `;
  return `${name} (${where}occurrence ${occurrence}, step ${step}, operation ${index})`;
}

export function describeDeviation(deviation: TapDeviation): string {
  const { metrics, element } = deviation;
  const place = describePlace(deviation);
  if (metrics === null || element === null) return `${place}: the digests differ`;
  const { differing, count, maxAbs, maxUlp } = metrics;
  return (
    `${place}: ${differing} of ${count} values, by up to ${maxAbs ?? 'no number'}${maxUlp === null ? '' : ` (${maxUlp} ulp)`}; ` +
    `element ${element.index} at position ${element.position} is ${element.ours}, the reference ${element.reference}`
  );
}

/** One line for each layer; bars on a logarithmic scale, from 1e-8 to 1. */
export function driftLines(drift: readonly LayerDrift[]): string[] {
  const width = Math.max(...drift.map(({ name }) => name.length));
  return drift.map(({ name, relative }) => {
    const filled = relative === null || relative === 0 ? 0 : Math.round((BAR * (8 + Math.log10(relative))) / 8);
    const bar = '#'.repeat(Math.min(BAR, Math.max(relative === 0 ? 0 : 1, filled)));
    return `  ${name.padEnd(width)}  ${relative === null ? 'unknown  ' : relative.toExponential(2).padEnd(9)}  ${bar}`.trimEnd();
  });
}
