import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { PackageManifest } from './public-packages.ts';

/**
 * What is wrong with an installed package as it was packed: a file that is missing or has no business there, a field of
 * package.json. An empty list is a sound one.
 */
export async function problemsOfContents(folder: string): Promise<readonly string[]> {
  const problems: string[] = [];
  const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => !file.startsWith('node_modules/'));
  const has = new Set(files);
  for (const file of ['LICENSE', 'README.md', 'package.json']) if (!has.has(file)) problems.push(`${file} is missing`);

  const text = await readFile(join(folder, 'package.json'), 'utf8');
  for (const protocol of ['"workspace:', '"catalog:']) {
    if (text.includes(protocol)) problems.push(`package.json has a version ${protocol.slice(1)}`);
  }
  const manifest = JSON.parse(text) as PackageManifest & Record<string, unknown>;
  for (const [field, value] of [
    ['license', 'Apache-2.0'],
    ['type', 'module'],
    ['sideEffects', false],
  ] as const) {
    if (manifest[field] !== value) problems.push(`package.json: ${field} is not ${JSON.stringify(value)}`);
  }
  for (const field of ['description', 'files', 'engines', 'exports']) {
    if (manifest[field] === undefined) problems.push(`package.json: no ${field}`);
  }
  const targets = Object.values(manifest.bin ?? {});
  for (const [path, target] of Object.entries(manifest.exports ?? {})) {
    if (typeof target === 'string') {
      targets.push(target);
      continue;
    }
    if (Object.keys(target)[0] !== 'types') problems.push(`exports["${path}"]: types do not come first`);
    targets.push(...Object.values(target));
  }
  for (const target of targets) {
    if (!has.has(target.replace(/^\.\//, ''))) problems.push(`package.json names ${target}, which is not packed`);
  }

  for (const file of files) {
    if (/(?:^|\/)(?:test|node_modules)\/|\.test\.|\.tsbuildinfo$|(?<!\.d)\.ts$/.test(file)) {
      problems.push(`${file} is packed`);
    }
    if (file.startsWith('dist/') && file.endsWith('.js')) problems.push(...(await problemsOfMap(folder, file, has)));
  }
  return problems;
}

/** A map of another file, or one whose sources nobody has, is of no use to a debugger. */
async function problemsOfMap(folder: string, file: string, has: ReadonlySet<string>): Promise<readonly string[]> {
  const map = `${file}.map`;
  if (!has.has(map)) return [`${map} is missing`];
  const { sources = [], sourcesContent = [] } = JSON.parse(await readFile(join(folder, map), 'utf8')) as {
    sources?: readonly string[];
    sourcesContent?: readonly (string | null)[];
  };
  if (sourcesContent.length !== sources.length || sourcesContent.includes(null)) return [`${map} has no sources`];
  return [];
}
