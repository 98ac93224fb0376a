import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, posix, relative, sep } from 'node:path';

const SKIPPED = new Set(['node_modules', 'dist', '.git', '.turbo', 'coverage']);
/** `[text](target "title")`, with or without `!`; brackets may be in the text, as in a link around an image. */
const INLINE = /\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)/g;
const REFERENCE = /^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?/gm;
const HTML = /<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)="([^"]+)"/g;
const HAS_SCHEME = /^(?:[a-z][a-z0-9+.-]*:|\/\/)/i;

/** Every file and folder of a repository, relative, with `/`; texts of those in Markdown. */
export interface Documents {
  readonly paths: ReadonlySet<string>;
  readonly texts: ReadonlyMap<string, string>;
}

export async function readDocuments(root: string): Promise<Documents> {
  const paths = new Set(['.']);
  const texts = new Map<string, string>();
  async function walk(folder: string): Promise<void> {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (SKIPPED.has(entry.name)) continue;
      const path = join(folder, entry.name);
      const name = relative(root, path).split(sep).join('/');
      paths.add(name);
      if (entry.isDirectory()) await walk(path);
      else if (name.endsWith('.md')) texts.set(name, await readFile(path, 'utf8'));
    }
  }
  await walk(root);
  return { paths, texts };
}

/** Spaces in place of code, so that lines and columns stay. */
function withoutCode(markdown: string): string {
  const blank = (text: string): string => text.replaceAll(/[^\n]/g, ' ');
  return markdown
    .replaceAll(/^( {0,3})(`{3,}|~{3,})[^\n]*\n.*?^ {0,3}\2[`~]*[ \t]*$/gms, blank)
    .replaceAll(/(`+)(?!`).*?[^`]\1(?!`)/g, blank);
}

/** The anchors that GitHub makes of headings, and those that are written as HTML. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  const blocks = markdown.replaceAll(/^( {0,3})(`{3,}|~{3,})[^\n]*\n.*?^ {0,3}\2[`~]*[ \t]*$/gms, '');
  for (const [, title] of blocks.matchAll(/^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$/gm)) {
    const slug = title!
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
      .replaceAll(' ', '-');
    let anchor = slug;
    for (let number = 1; anchors.has(anchor); number += 1) anchor = `${slug}-${number}`;
    anchors.add(anchor);
  }
  for (const [, name] of blocks.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) anchors.add(name!);
  return anchors;
}

/**
 * Links that lead nowhere, a sentence each: to a file that is not there, or a heading that it does not have. Addresses with
 * a scheme are not looked at. Throws where there is no link at all: that is no pass.
 */
export function findDeadLinks({ paths, texts }: Documents): readonly string[] {
  const dead: string[] = [];
  let links = 0;
  for (const [file, markdown] of texts) {
    const text = withoutCode(markdown);
    for (const match of [INLINE, REFERENCE, HTML].flatMap((pattern) => [...text.matchAll(pattern)])) {
      const link = match[1]!;
      if (HAS_SCHEME.test(link)) continue;
      links += 1;
      const where = `${file}:${text.slice(0, match.index).split('\n').length}`;
      const [path, anchor] = link.split('#') as [string, string?];
      const target = path === '' ? file : posix.join(dirname(file), decodeURIComponent(path)).replace(/\/$/, '');
      if (!paths.has(target)) dead.push(`${where}: there is no ${target}`);
      else if (anchor !== undefined && !anchorsOf(texts.get(target) ?? '').has(decodeURIComponent(anchor))) {
        dead.push(`${where}: ${target} has no heading #${anchor}`);
      }
    }
  }
  if (links === 0) throw new Error('There are no links to check.');
  return dead;
}
