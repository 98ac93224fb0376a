import { describe, expect, test } from 'vitest';
import { runLadder } from '../src/ladder/run-ladder.ts';
import { renderReport } from '../src/ladder/render-report.ts';
import { renderGithubAnnotations, renderGithubSummary } from '../src/report/github.ts';
import { renderHtml } from '../src/report/html/page.ts';
import { renderJunit } from '../src/report/junit.ts';
import type { OtherOutcome } from '../src/report/other-outcome.ts';
import { type Changes, fakeSide, TOY_CASES, toyCase } from './fake-side.ts';

/** Text that would be markup, a command or a link where it is not escaped. */
const HOSTILE = `<script>alert(1)</script>"'&%\n::error::x|[a](javascript:b)\u0000\uD800]]>`;

function climb(changes: Changes, options: Partial<Parameters<typeof runLadder>[0]> = {}) {
  return runLadder({
    ours: fakeSide(changes),
    reference: fakeSide(),
    cases: TOY_CASES,
    exact: true,
    piece: (id) => `${id}${HOSTILE}`,
    ...options,
  });
}

const passing = await climb({});
const failing = await climb({
  identity: { name: HOSTILE },
  taps: (taps) =>
    taps.map((tap, index) => (index >= 4 ? { ...tap, data: tap.data!.map((value) => value * 1.5) } : tap)),
  rows: (rows) =>
    rows.map((row) => (row.position === 2 ? { ...row, values: row.values!.map((value) => value + 1) } : row)),
});

/** Elements that are opened and not closed, or closed and not opened. */
function unclosed(page: string): string[] {
  const open: string[] = [];
  for (const [tag, close, name] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*?>/g)) {
    if (['meta', 'br'].includes(name!) || tag.endsWith('/>')) continue;
    if (close === '') open.push(name!);
    else if (open.at(-1) === name) open.pop();
    else open.push(tag);
  }
  return open;
}

describe('HTML', () => {
  test('one file that loads and runs nothing, and escapes what it is given', () => {
    const page = renderHtml([passing, failing]);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
    expect(page).not.toMatch(/<script|<link|<img|<iframe|url\(|@import|javascript:[^b]|\son\w+=/);
    expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(page).not.toContain('\u0000');
    expect(page.isWellFormed()).toBe(true);
    expect(unclosed(page)).toEqual([]);
  });

  test('shows rungs, place, drift, positions and ids', () => {
    const page = renderHtml([failing]);
    for (const text of [
      'not-run',
      'First difference',
      'Divergence by layer and position',
      'Token by token',
      'Both sides',
      'LOGITS_DIFFER',
    ]) {
      expect(page).toContain(text);
    }
    expect(page.match(/<td\s+style="--heat:/g)?.length).toBeGreaterThan(TOY_CASES[0]!.ids.length);
    expect(page.match(/<circle\s+class="mark"/g)?.length).toBeGreaterThan(16);
  });

  test('nothing compared is no pass', () => {
    expect(renderHtml([])).toContain('not compared');
    const page = renderHtml([passing], [{ kind: 'not-compared', name: HOSTILE, message: 'no file' }]);
    expect(page).toMatch(/<title>[^<]*: not compared<\/title>/);
    expect(page).toMatch(/&lt;script&gt;.*not compared: no file/s);
  });
});

describe('JUnit', () => {
  test('a rung that did not run is skipped, one that failed fails', () => {
    const xml = renderJunit([passing, failing]);
    expect(xml).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<testsuites/);
    expect(xml.match(/<testcase /g)).toHaveLength(14);
    expect(xml).toContain('tests="7" failures="0" errors="0" skipped="0"');
    expect(xml).toContain('tests="7" failures="1" errors="0" skipped="1"');
    expect(xml.match(/<skipped message="not-run"\/>/g)).toHaveLength(1);
    expect(xml).toMatch(/<failure type="TAP_DIFFERS" message="The first operation/);
    expect(xml).not.toMatch(/<script|[^&]]>[^<\n]*$/);
    expect(xml.replaceAll(/&(?:amp|lt|gt|quot|#10);/g, '')).not.toContain('&');
  });
});

test('what was not compared is an error in every report', () => {
  const missing = [{ kind: 'not-compared', name: 'a', message: 'no <file>' }] as const;
  expect(renderJunit([passing], missing)).toContain('<error type="NOT_COMPARED" message="no &lt;file&gt;"/>');
  expect(renderGithubAnnotations([], missing)).toBe('::error title=a%3A not compared::no <file>\n');
  expect(renderGithubSummary([], missing)).toContain('❌ a\n\nnot compared: no &#60;file&#62;');
});

test('an outcome without a ladder fails, passes or is skipped in every report', () => {
  const of = (kind: OtherOutcome['kind']): OtherOutcome[] => [{ kind, name: 'a', message: 'why' }];
  expect(renderHtml([passing], of('failed'))).toMatch(/<title>[^<]*: fail<\/title>/);
  expect(renderJunit([], of('failed'))).toContain('failures="1" errors="0" skipped="0"');
  expect(renderJunit([], of('failed'))).toContain('<failure type="FAILED" message="why"/>');
  expect(renderGithubAnnotations([], of('failed'))).toBe('::error title=a%3A failed::why\n');
  expect(renderGithubSummary([], of('failed'))).toContain('❌ a');
  for (const kind of ['passed', 'not-installed'] as const) {
    expect(renderHtml([passing], of(kind))).toMatch(/<title>[^<]*: pass<\/title>/);
    expect(renderJunit([], of(kind))).toContain('failures="0" errors="0"');
    expect(renderGithubAnnotations([], of(kind))).toMatch(/^::notice title=a%3A /);
    expect(renderGithubSummary([], of(kind))).not.toContain('❌');
  }
  expect(renderJunit([], of('not-installed'))).toContain('<skipped message="why"/>');
});

describe('GitHub', () => {
  test('an annotation a failure, on one line each, that cannot begin another command', () => {
    const lines = renderGithubAnnotations([passing, failing]).trimEnd().split('\n');
    expect(lines[0]).toMatch(/^::notice title=toy {2}against toy {2}on toy\.gguf::every rung passed, 23 positions/);
    expect(lines.slice(1)).toHaveLength(failing.failures.length);
    for (const line of lines.slice(1))
      expect(line).toMatch(/^::error title=<script>[^:,]*%0A%3A%3Aerror%3A%3Ax[^,]*::/);
  });

  test('the summary is Markdown whose texts are no markup', () => {
    const summary = renderGithubSummary([failing]);
    expect(summary).toContain('| positions | fail |');
    expect(summary).not.toMatch(/<script|\]\(javascript/);
  });
});

describe('text', () => {
  test('--verbose tells every position, and which were not judged', async () => {
    expect(renderReport(passing, { verbose: true })).toMatch(/Position 3 of p0\.batch-all: OK \(cos_sim: 1\.000000/);
    expect(renderReport(passing, { verbose: true })).toMatch(
      /Generated 2 of p1\.batch-last: OK token \d+ \(both\), lead/,
    );
    const first = await climb({
      rows: (rows) => rows.map((row) => (row.position === 0 ? { ...row, values: row.values!.map((v) => v + 1) } : row)),
    });
    expect(renderReport(first, { verbose: true })).toMatch(
      /Position 0 of p0\.batch-all: FAIL LOGITS_DIFFER.*\nPosition 1 of p0\.batch-all: not judged/,
    );
  });

  test('tells where and why', () => {
    expect(renderReport(failing)).toMatch(
      /\nWhere \(p0.*\n {2}first difference {2}norm-0 .*\n {2}last equal +kq_soft_max_ext-0/,
    );
  });

  test('a decode mismatch says how far the two largest logits were apart', async () => {
    const report = await climb({ greedy: (ids) => ids.with(1, 0) }, { cases: [toyCase('a', 'once', 'batch-all')] });
    expect(report.failures[0]?.message).toMatch(
      /differ first at step 1: .* The largest logit leads the second by [\d.]+ there, in ours by [\d.]+; the rows differ by up to 0\./,
    );
    expect(report.why[0]).toMatchObject({ id: 'sampler' });
  });
});
