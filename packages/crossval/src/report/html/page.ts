import type { CaseReport, DecodeStep, LadderReport, RowReport } from '../../ladder/report.ts';
import type { TopEntry } from '../../metrics.ts';
import { type GatedMetric, largerIsBetter, type RowLimits } from '../../thresholds.ts';
import { describeDeviation, describePlace } from '../../trace/render-diff.ts';
import { driftCurve, heatOf, scatterPlot } from './charts.ts';
import { figure, html, Markup, visible } from './markup.ts';
import { isBad, type OtherOutcome, OUTCOME_WORDS } from '../other-outcome.ts';
import { STYLE } from './style.ts';

/** More positions than a person scrolls through only make the file large; those that fail come first. */
const MAX_POSITIONS = 200;
const MAX_PLOTS = 4;

/** Reports as one HTML file that loads nothing and runs nothing: styles inside, no script. */
export function renderHtml(
  reports: readonly LadderReport[],
  others: readonly OtherOutcome[] = [],
  title = 'Parity of two inference engines',
): string {
  const failed = reports.some(({ verdict }) => verdict === 'fail') || others.some(({ kind }) => kind === 'failed');
  const compared = reports.length > 0 && !others.some(isBad);
  const verdict = failed ? 'fail' : compared ? 'pass' : 'not compared';
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>${title}: ${verdict}</title>
        <style>
          ${new Markup(STYLE)}
        </style>
      </head>
      <body>
        <a class="skip" href="#main">To the report</a>
        <header>
          <h1>${title} <span class="badge ${verdict === 'pass' ? 'pass' : 'fail'}">${verdict}</span></h1>
          <nav aria-label="Ladders">
            <ul>
              ${reports.map((report, index) => html`<li><a href="#ladder-${index}">${nameOf(report)}</a> <span class="${report.verdict}">${report.verdict}</span></li>`)}
            </ul>
          </nav>
        </header>
        <main id="main">
          ${others.map((of) => html`<p class="${of.kind === 'passed' ? 'pass' : isBad(of) ? 'fail' : 'soft'}"><strong>${of.name}</strong>: ${OUTCOME_WORDS[of.kind]}: ${of.message}</p>`)}
          ${reports.map((report, index) => ladder(report, index))}
        </main>
      </body>
    </html> `;
  return page.text;
}

function nameOf({ ours, reference }: LadderReport): string {
  return `${ours.name} ${ours.numerics ?? ''} against ${reference.name} ${reference.numerics ?? ''}`;
}

function ladder(report: LadderReport, index: number): Markup {
  const { rungs, failures } = report;
  return html`<section id="ladder-${index}" aria-labelledby="title-${index}">
    <h2 id="title-${index}">${nameOf(report)} <span class="badge ${report.verdict}">${report.verdict}</span></h2>
    <ol class="rungs" aria-label="Rungs">
      ${rungs.map(({ rung, status, compared }) => html`<li><strong>${rung}</strong> <span class="${status === 'pass' ? 'pass' : status === 'fail' ? 'fail' : 'soft'}">${status}</span><small>${status === 'pass' || status === 'fail' ? `${compared} compared` : 'nothing compared'}</small></li>`)}
    </ol>
    ${failures.map(({ rung, code, message, case: id }) => html`<p class="fail"><strong>${rung} ${code}</strong>${id === null ? '' : ` in ${id}`}: ${visible(message).replaceAll('␣', ' ')}</p>`)}
    ${causes(report)} ${where(report)} ${identities(report)}
    ${
      report.scatter.length === 0
        ? null
        : html`<h3>Logits</h3>
            <p class="soft">${Math.min(MAX_PLOTS, report.scatter.length)} of ${report.scatter.length} cases.</p>
            <div class="facing">${report.scatter.slice(0, MAX_PLOTS).map(scatterPlot)}</div>`
    }
    ${positions(report)} ${decoded(report)} ${operations(report)} ${noise(report)}
    ${report.cases.map((of) => pieces(of, report))}
  </section>`;
}

function causes({ why }: LadderReport): Markup | null {
  if (why.length === 0) return null;
  return html`<h3>Probable causes</h3>
    <ol class="causes">
      ${why.slice(0, 5).map(({ title, strength, evidence, confirm }) => html`<li><strong>${title}</strong> <span class="soft">${strength.toFixed(2)}</span>${evidence.map((line) => html`<br />${line}`)}<br /><span class="soft">To confirm:</span> <code>${confirm}</code></li>`)}
    </ol>`;
}

function where({ where: found, whereNotes }: LadderReport): Markup | null {
  const notes = whereNotes.map((note) => html`<p class="soft">${note}</p>`);
  if (found === null)
    return notes.length === 0
      ? null
      : html`<h3>Where</h3>
          ${notes}`;
  const { first, lastEqual, drift, compared } = found.diff;
  const place =
    first === null
      ? html`<p>All ${compared} operations are equal: the difference is made after them.</p>`
      : html`<table>
          <tr>
            <th scope="row">First difference</th>
            <td>${describeDeviation(first)}</td>
          </tr>
          <tr>
            <th scope="row">Last equal</th>
            <td>${lastEqual === null ? 'none: it is the first operation' : describePlace(lastEqual)}</td>
          </tr>
        </table>`;
  const columns = [...new Set(drift.flatMap((layer) => layer.positions.map(({ position }) => position)))].toSorted(
    (a, b) => a - b,
  );
  const rows = drift.map(({ name, positions: at }) => {
    const byPosition = new Map(at.map(({ position, relative }) => [position, relative]));
    return html`<tr>
      <th scope="row" class="mono">${name}</th>
      ${columns.map((position) => heatCell(name, position, byPosition.get(position)))}
    </tr>`;
  });
  return html`<h3>Where</h3>
    ${place}${notes}
    <div class="facing">${driftCurve(drift)}</div>
    <h3>Divergence by layer and position</h3>
    <div class="scroll" role="region" aria-label="Heat map of divergence by layer and position" tabindex="0">
      <table class="heat">
        <caption>
          Difference over value of the residual stream, as a power of ten; pale is equal.
        </caption>
        <thead>
          <tr>
            <th scope="col"><span class="soft">position</span></th>
            ${columns.map((position) => html`<th scope="col">${position}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>`;
}

function heatCell(name: string, position: number, relative: number | null | undefined): Markup {
  if (relative === undefined) return html`<td class="unknown" style="--heat:0" aria-label="not computed"></td>`;
  if (relative === null)
    return html`<td
      class="unknown"
      style="--heat:0"
      title="${name}, position ${position}: not known"
      aria-label="unknown"
    >
      ?
    </td>`;
  const label = relative === 0 ? '' : String(Math.round(Math.log10(relative)));
  return html`<td
    style="--heat:${heatOf(relative).toFixed(2)}"
    title="${name}, position ${position}: ${relative === 0 ? 'equal' : figure(relative)}"
  >
    ${label}
  </td>`;
}

function identities({ ours, reference, thresholds }: LadderReport): Markup {
  const rows: [string, string | undefined, string | undefined][] = [
    ['name', ours.name, reference.name],
    ['version', ours.version, reference.version],
    ['build', ours.build, reference.build],
    ['numerics', ours.numerics, reference.numerics],
    ['model', ours.model.file, reference.model.file],
    ['SHA-256', ours.model.sha256, reference.model.sha256],
  ];
  return html`<h3>Both sides</h3>
    <table>
      <thead>
        <tr>
          <th scope="col"></th>
          <th scope="col" class="ours">ours</th>
          <th scope="col" class="reference">reference</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([name, a, b]) =>
            html`<tr>
              <th scope="row">${name}</th>
              <td><code>${a ?? 'not said'}</code></td>
              <td><code>${b ?? 'not said'}</code></td>
            </tr>`,
        )}
      </tbody>
    </table>
    <p class="soft">
      Thresholds: ${thresholds.source}. First logit ${limits(thresholds.firstLogit)}; positions
      ${limits(thresholds.positions)}.
    </p>`;
}

function limits(of: RowLimits): string {
  return Object.entries(of)
    .map(([metric, limit]) => `${metric} ${largerIsBetter(metric as GatedMetric) ? '≥' : '≤'} ${limit}`)
    .join(', ');
}

function positions({ rows, cases, pieces: spelled }: LadderReport): Markup | null {
  if (rows.length === 0) return null;
  const shown = rows
    .toSorted((a, b) => Number(b.failure !== null) - Number(a.failure !== null))
    .slice(0, MAX_POSITIONS);
  const rest = rows.length - shown.length;
  return html`<h3>Token by token</h3>
    <p class="soft">
      Five most probable next tokens of each side. ${shown.length} of ${rows.length}
      positions${rest > 0 ? ', those that fail first' : ''}.
    </p>
    <div class="scroll" role="region" aria-label="Probabilities token by token" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col">position</th>
            <th scope="col" class="token">token</th>
            <th scope="col"></th>
            <th scope="col" class="number">max abs</th>
            <th scope="col" class="number">KL</th>
            <th scope="col" class="ours wide">ours</th>
            <th scope="col" class="reference wide">reference</th>
          </tr>
        </thead>
        <tbody>
          ${shown.map((row) => positionRow(row, cases, spelled))}
        </tbody>
      </table>
    </div>`;
}

function positionRow(row: RowReport, cases: readonly CaseReport[], spelled: LadderReport['pieces']): Markup {
  const { position: at, failure, judged, comparedBy, metrics, top, token } = row;
  const of = cases.find(({ id }) => id === row.case);
  const piece = of?.pieces?.[at];
  const pieceOf = (id: number): string => (id in spelled ? `${id} ${visible(spelled[id]!)}` : String(id));
  const verdict = failure ?? (!judged ? 'not judged' : comparedBy === 'digest' ? 'equal digests' : 'ok');
  return html`<tr>
    <th scope="row" class="number">${at}<br /><span class="soft">${row.case}</span></th>
    <td><code>${piece === undefined ? token : `${token} ${visible(piece)}`}</code></td>
    <td class="${failure !== null ? 'fail' : judged ? 'pass' : 'soft'}">${verdict}</td>
    <td class="number">${metrics === null ? '' : figure(metrics.maxAbs)}</td>
    <td class="number">${metrics === null ? '' : figure(metrics.kl)}</td>
    <td>${top === null ? null : topList(top.ours, 'ours', pieceOf)}</td>
    <td>${top === null ? null : topList(top.reference, 'reference', pieceOf)}</td>
  </tr>`;
}

function topList(entries: readonly TopEntry[], side: 'ours' | 'reference', pieceOf: (id: number) => string): Markup {
  return html`<dl class="top ${side}">
    ${entries.map(
      ({ id, probability }) =>
        html`<dt class="mono ink">${pieceOf(id)}</dt>
          <dd><div class="bar" style="width:${(100 * probability).toFixed(1)}%"></div></dd>
          <dd class="mono ink">${(100 * probability).toFixed(2)} %</dd>`,
    )}
  </dl>`;
}

function decoded({ decode, pieces: spelled }: LadderReport): Markup | null {
  const named = (id: number | null): string =>
    id === null ? 'none' : id in spelled ? `${id} ${visible(spelled[id]!)}` : String(id);
  if (decode.length === 0) return null;
  const differs = ({ ours, reference }: DecodeStep): boolean => ours !== reference;
  const shown = decode.toSorted((a, b) => Number(differs(b)) - Number(differs(a))).slice(0, MAX_POSITIONS);
  return html`<h3>Generated</h3>
    <p class="soft">
      Ids, and how far the two largest logits of each side were apart. ${shown.length} of ${decode.length}, those that
      differ first.
    </p>
    <div class="scroll" role="region" aria-label="Generated ids" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col">case</th>
            <th scope="col" class="number">step</th>
            <th scope="col" class="number ours">ours</th>
            <th scope="col" class="number reference">reference</th>
            <th scope="col" class="number">our lead</th>
            <th scope="col" class="number">its lead</th>
            <th scope="col" class="number">max abs</th>
          </tr>
        </thead>
        <tbody>
          ${shown.map(
            (step) =>
              html`<tr class="${step.ours === step.reference ? '' : 'fail'}">
                <td>${step.case}</td>
                <td class="number">${step.step}</td>
                <td class="number">${named(step.ours)}</td>
                <td class="number">${named(step.reference)}</td>
                <td class="number">${figure(step.ourGap)}</td>
                <td class="number">${figure(step.referenceGap)}</td>
                <td class="number">${figure(step.maxAbs)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

function operations({ operations: table }: LadderReport): Markup | null {
  if (table === null) return null;
  return html`<h3>Operations on the reference’s own inputs</h3>
    <table>
      <caption>
        ${table.compared} operations over ${table.ids.length} ids, mode
        ${table.mode}${table.without === 0 ? '' : `; ${table.without} without values of the reference`}.
      </caption>
      <thead>
        <tr>
          <th scope="col">operation</th>
          <th scope="col" class="number">exact</th>
          <th scope="col" class="number">of</th>
          <th scope="col" class="number">up to ulp</th>
          <th scope="col" class="number">max abs</th>
        </tr>
      </thead>
      <tbody>
        ${table.kinds.map(
          ({ kind, exact, compared, maxUlp, maxAbs }) =>
            html`<tr class="${exact === compared ? '' : 'fail'}">
              <th scope="row">${kind}</th>
              <td class="number">${exact}</td>
              <td class="number">${compared}</td>
              <td class="number">${maxUlp ?? 'NaN'}</td>
              <td class="number">${figure(maxAbs)}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

function noise({ noise: reports }: LadderReport): Markup | null {
  if (reports.length === 0) return null;
  return html`<h3>Noise of the reference against itself</h3>
    <table>
      <thead>
        <tr>
          <th scope="col">what</th>
          <th scope="col" class="number">rows</th>
          <th scope="col" class="number">max abs, position 0</th>
          <th scope="col" class="number">max abs, later</th>
          <th scope="col" class="number">KL, later</th>
        </tr>
      </thead>
      <tbody>
        ${reports.map(
          ({ what, rows, firstLogit, positions: later }) =>
            html`<tr>
              <th scope="row">${what}</th>
              <td class="number">${rows}</td>
              <td class="number">${figure(firstLogit.maxAbs ?? null)}</td>
              <td class="number">${figure(later.maxAbs ?? null)}</td>
              <td class="number">${figure(later.kl ?? null)}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

function pieces({ id, mode, text, ids, pieces: spelled }: CaseReport, { failures }: LadderReport): Markup {
  const failure = failures.find((of) => of.rung === 'tokens' && of.case === id);
  const ours = failure?.details['ourIds'];
  const ourPieces = failure?.details['ourPieces'];
  const list = (all: readonly number[], names: readonly string[] | null): Markup =>
    html`<ol class="pieces">
      ${all.map((token, index) => html`<li><code>${visible(names?.[index] ?? '')}</code><small>${token}</small></li>`)}
    </ol>`;
  return html`<details${failure === undefined ? null : new Markup(' open')}><summary>Ids of ${id} (${ids.length}, mode ${mode}): <code>${visible(text.slice(0, 80))}</code></summary>
<p class="reference">reference</p>${list(ids, spelled)}
${
  Array.isArray(ours)
    ? html`<p class="ours">ours</p>
        ${list(ours as number[], Array.isArray(ourPieces) ? (ourPieces as string[]) : null)}`
    : null
}</details>`;
}
