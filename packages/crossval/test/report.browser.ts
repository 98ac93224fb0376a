import { expect, test } from 'vitest';
import { runLadder } from '../src/ladder/run-ladder.ts';
import { renderHtml } from '../src/report/html/page.ts';
import { fakeSide, TOY_CASES } from './fake-side.ts';

/** A report of a failing ladder in a frame of its own. */
async function show(): Promise<Document> {
  const report = await runLadder({
    ours: fakeSide({
      taps: (taps) =>
        taps.map((tap, index) => (index >= 3 ? { ...tap, data: tap.data!.map((value) => value * 1.5) } : tap)),
      rows: (rows) => rows.map((row) => ({ ...row, values: row.values!.map((value) => value + 1) })),
    }),
    reference: fakeSide(),
    cases: TOY_CASES,
    exact: true,
    rungs: ['preflight', 'tokens', 'shapes', 'masks', 'positions'],
  });
  const frame = document.createElement('iframe');
  frame.width = '1000';
  frame.height = '800';
  document.body.append(frame);
  const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
  frame.srcdoc = renderHtml([report]);
  await loaded;
  return frame.contentDocument!;
}

test('the report loads nothing and breaks no rule of its policy', async () => {
  const violations: string[] = [];
  document.addEventListener('securitypolicyviolation', ({ violatedDirective }) => violations.push(violatedDirective));
  const page = await show();
  const { performance } = page.defaultView!;
  expect(performance.getEntriesByType('resource')).toEqual([]);
  expect(page.scripts).toHaveLength(0);
  expect(violations).toEqual([]);
  // The style sheet took effect, so the policy lets it.
  expect(page.defaultView!.getComputedStyle(page.querySelector('.rungs')!).display).toBe('flex');
});

test('every part that scrolls can be reached and named by keyboard', async () => {
  const page = await show();
  const regions = [...page.querySelectorAll<HTMLElement>('.scroll')];
  expect(regions.length).toBeGreaterThanOrEqual(2);
  for (const region of regions) {
    region.focus();
    expect(page.activeElement).toBe(region);
    expect(region.getAttribute('aria-label')).toBeTruthy();
  }
  for (const summary of page.querySelectorAll('summary')) {
    summary.focus();
    expect(page.activeElement).toBe(summary);
  }
  for (const link of page.querySelectorAll('nav a')) {
    expect(page.querySelector(link.getAttribute('href')!)).not.toBeNull();
  }
});

test('hotter cells are further from the reference, and dark differs from light', async () => {
  const page = await show();
  const heatOf = (cell: Element): number => Number((cell as HTMLElement).style.getPropertyValue('--heat'));
  const cells = [...page.querySelectorAll('.heat td')];
  expect(new Set(cells.map(heatOf)).size).toBeGreaterThan(1);
  const [cold, hot] = [cells.find((cell) => heatOf(cell) === 0)!, cells.find((cell) => heatOf(cell) > 0.5)!];
  const colour = (element: Element): string => page.defaultView!.getComputedStyle(element).backgroundColor;
  expect(colour(hot)).not.toBe(colour(cold));
  const colours = ['light', 'dark'].map((scheme) => {
    page.documentElement.style.colorScheme = scheme;
    return colour(page.body);
  });
  expect(colours[0]).not.toBe(colours[1]);
});

test('nothing is wider than the page but what scrolls by itself', async () => {
  const page = await show();
  expect(page.documentElement.scrollWidth).toBeLessThanOrEqual(page.documentElement.clientWidth);
});
