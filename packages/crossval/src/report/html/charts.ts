import type { Scatter } from '../../ladder/report.ts';
import type { LayerDrift } from '../../trace/diff.ts';
import { figure, html, type Markup } from './markup.ts';

const WIDTH = 460;
const HEIGHT = 300;
const LEFT = 54;
const BOTTOM = 34;
const TOP = 24;
const RIGHT = 12;

/** Relative differences from 1e-8 to 1 on a logarithmic scale as 0..1; 0 for none. */
export function heatOf(relative: number): number {
  return relative === 0 ? 0 : Math.min(1, Math.max(0.08, (Math.log10(relative) + 8) / 8));
}

/** Logits of the reference across, ours up; on the diagonal where they are equal. */
export function scatterPlot({ points, case: id, position }: Scatter): Markup {
  const values = points.flatMap(({ reference, ours }) => [reference, ours]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = high === low ? 1 : high - low;
  const x = (value: number): number => LEFT + ((value - low) / span) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number => HEIGHT - BOTTOM - ((value - low) / span) * (HEIGHT - BOTTOM - TOP);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => low + part * span);
  const title = `Logits of position ${position} of ${id}, ours against the reference`;
  return html`<figure>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
      <title>${title}</title>
      ${ticks.map((tick) => html`<text x="${x(tick).toFixed(1)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="${tick === high ? 'end' : 'middle'}">${figure(tick)}</text><text x="${LEFT - 6}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${figure(tick)}</text><line class="axis" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}" />`)}
      <line class="diagonal" x1="${x(low)}" y1="${y(low)}" x2="${x(high)}" y2="${y(high)}" />
      ${points.map(({ reference, ours }) => html`<circle class="mark" cx="${x(reference).toFixed(1)}" cy="${y(ours).toFixed(1)}" r="1.8" />`)}
      <text x="${(LEFT + WIDTH) / 2}" y="${HEIGHT - 4}" text-anchor="middle">reference</text>
      <text x="${LEFT - 6}" y="12" text-anchor="end">ours</text>
    </svg>
    <figcaption>${title}: ${points.length} of the vocabulary’s ids, evenly spaced.</figcaption>
  </figure>`;
}

/** How far the residual stream is from the reference's after each layer. */
export function driftCurve(drift: readonly LayerDrift[]): Markup {
  const known = drift.map(({ relative }) => relative).filter((relative) => relative !== null && relative > 0);
  const exponents = known.map((relative) => Math.log10(relative!));
  const low = Math.min(-8, ...exponents.map(Math.floor));
  const high = Math.max(0, ...exponents.map(Math.ceil));
  const x = (index: number): number => LEFT + (index / Math.max(1, drift.length - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (exponent: number): number => HEIGHT - BOTTOM - ((exponent - low) / (high - low)) * (HEIGHT - BOTTOM - TOP);
  // No difference has no logarithm: it lies on the bottom line.
  const marks = drift.map(({ name, relative }, index) => ({
    name,
    relative,
    at: [x(index), y(relative === null || relative === 0 ? low : Math.log10(relative))] as const,
  }));
  const path = marks
    .map(({ at: [px, py] }, index) => `${index === 0 ? 'M' : 'L'}${px.toFixed(1)} ${py.toFixed(1)}`)
    .join('');
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => low + index).filter((tick) => tick % 2 === 0);
  const every = Math.ceil(drift.length / 8);
  return html`<figure>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Drift of the residual stream by layer">
      <title>Drift of the residual stream by layer</title>
      ${ticks.map((tick) => html`<line class="axis" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}" /><text x="${LEFT - 6}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">1e${tick}</text>`)}
      <path class="curve" d="${path}" />
      ${marks.map(({ name, relative, at: [px, py] }) => html`<circle class="mark" cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3"><title>${name}: ${relative === 0 ? 'equal' : figure(relative)}</title></circle>`)}
      ${marks.flatMap(({ name, at: [px] }, index) => ((index % every === 0 && index + 1.5 * every <= marks.length - 1) || index === marks.length - 1 ? [html`<text x="${px.toFixed(1)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="${index === marks.length - 1 ? 'end' : 'middle'}">${name}</text>`] : []))}
    </svg>
    <figcaption>Difference over value after each layer, logarithmic; equal results lie on the bottom line.</figcaption>
  </figure>`;
}
