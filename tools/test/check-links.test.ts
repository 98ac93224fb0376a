import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { anchorsOf, findDeadLinks, readDocuments } from '../src/check-links.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

test('no link of a document leads nowhere', async () => {
  const documents = await readDocuments(ROOT);
  expect(documents.texts.size).toBeGreaterThan(20);
  expect(findDeadLinks(documents)).toEqual([]);
});

/** Dead links of one document, beside `b.md` and a folder. */
function deadLinksOf(markdown: string): readonly string[] {
  const texts = new Map([
    ['docs/a.md', markdown],
    ['docs/b.md', '# One `two`: three?\n\n## Same\n\n## Same\n\n```\n# code\n```\n'],
  ]);
  return findDeadLinks({ paths: new Set(['.', 'docs', 'docs/a.md', 'docs/b.md', 'src', 'LICENSE']), texts });
}

test.each([
  '[b](b.md)',
  '[folder](../src/) and [a file](../LICENSE)',
  '[heading](b.md#one-two-three), [second](b.md#same-1)',
  '# Here\n\n[heading](#here)',
  '[b] is\n\n[b]: b.md',
  '<a href="b.md"><img src="../LICENSE"></a>',
  '[![image](../LICENSE)](b.md "title")',
  '[b](b.md) and `[code](nowhere.md)`\n\n```md\n[code](nowhere.md)\n```',
  '[b](b.md), [elsewhere](https://example.org/nowhere.md)',
])('leads somewhere: %s', (markdown) => {
  expect(deadLinksOf(markdown)).toEqual([]);
});

test.each([
  ['[b](c.md)', 'docs/a.md:1: there is no docs/c.md'],
  ['\n\n[b](B.md)', 'docs/a.md:3: there is no docs/B.md'],
  ['[b](/docs/b.md)', 'docs/a.md:1: there is no docs/docs/b.md'],
  ['[b](../../b.md)', 'docs/a.md:1: there is no ../b.md'],
  ['[b](b.md#code)', 'docs/a.md:1: docs/b.md has no heading #code'],
  ['[b](b.md#same-2)', 'docs/a.md:1: docs/b.md has no heading #same-2'],
  ['[here](#here)', 'docs/a.md:1: docs/a.md has no heading #here'],
  ['[file](../LICENSE#l1)', 'docs/a.md:1: LICENSE has no heading #l1'],
  ['[b]: c.md', 'docs/a.md:1: there is no docs/c.md'],
  ['[![image](c.png)](b.md)', 'docs/a.md:1: there is no docs/c.png'],
  ['<img src="c.png">', 'docs/a.md:1: there is no docs/c.png'],
])('leads nowhere: %s', (markdown, message) => {
  expect(deadLinksOf(markdown)).toEqual([message]);
});

test('nothing to check is no pass', () => {
  expect(() => deadLinksOf('Only words.')).toThrow('no links');
});

test('anchors are those that GitHub makes', () => {
  expect([...anchorsOf('# `a_b` & c: d\n## [Link](x.md) — é\n### 5.3 Float\n')]).toEqual([
    'a_b--c-d',
    'link--é',
    '53-float',
  ]);
});
