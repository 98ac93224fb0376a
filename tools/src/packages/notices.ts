import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { PublicPackage } from './public-packages.ts';

/** What of pnpm-lock.yaml is read here. */
interface Lockfile {
  readonly importers: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, { version: string }>>>>>>;
  readonly packages: Readonly<Record<string, { readonly os?: readonly string[] }>>;
  readonly snapshots: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;
}

interface ThirdParty {
  /** `name@version`, as the lockfile has it. */
  readonly id: string;
  /** Folders of our packages that need it. */
  readonly users: ReadonlySet<string>;
  /** Its parts for one platform each, which npm installs beside it. */
  readonly platforms: readonly string[];
}

/** Licences under which an Apache-2.0 package may use a library. */
const PERMITTED = new Set(['Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT']);
/** A compiler that puts parts of its own library into what it compiles. */
const isCompiler = (id: string): boolean => id.startsWith('assemblyscript@');

/** What npm installs with the packages, and what compilers put into them, by name. */
export function thirdParties(lockfile: Lockfile, packages: readonly PublicPackage[]): readonly ThirdParty[] {
  const users = new Map<string, Set<string>>();
  const visit = (id: string, user: string): void => {
    const of = users.get(id) ?? new Set();
    if (of.has(user)) return;
    users.set(id, of.add(user));
    // A compiler's own dependencies stay with it.
    for (const needed of isCompiler(id) ? [] : neededBy(lockfile, id)) if (!isPart(id, needed)) visit(needed, user);
  };
  for (const { folder } of packages) {
    const importer = lockfile.importers[folder];
    if (importer === undefined) throw new Error(`${folder} is not in pnpm-lock.yaml.`);
    const compilers = Object.entries(importer['devDependencies'] ?? {}).filter(([name, { version }]) =>
      isCompiler(`${name}@${version}`),
    );
    const installed = Object.entries({ ...importer['dependencies'], ...importer['optionalDependencies'] });
    for (const [name, { version }] of [...installed, ...compilers]) {
      if (!version.startsWith('link:')) visit(`${name}@${version}`, folder);
    }
  }
  return Array.from(users, ([id, of]) => ({
    id,
    users: of,
    platforms: neededBy(lockfile, id).filter((needed) => isPart(id, needed)),
  })).toSorted((a, b) => (a.id < b.id ? -1 : 1));

  /** Of the same version, and only for some systems: `koffi` is one release, in parts. */
  function isPart(id: string, needed: string): boolean {
    const versionOf = (of: string): string => of.slice(of.lastIndexOf('@'));
    return versionOf(id) === versionOf(needed) && lockfile.packages[needed]?.os !== undefined;
  }
}

function neededBy({ snapshots }: Lockfile, id: string): readonly string[] {
  const snapshot = snapshots[id];
  if (snapshot === undefined) throw new Error(`${id} is not in pnpm-lock.yaml.`);
  const needed = { ...snapshot['dependencies'], ...snapshot['optionalDependencies'] };
  return Object.entries(needed).map(([name, version]) => `${name}@${version}`);
}

/** `THIRD-PARTY-NOTICES.md`. Throws for a licence that does not permit, or a package without one. */
export async function notices(root: string, packages: readonly PublicPackage[]): Promise<string> {
  const lockfile = parse(await readFile(join(root, 'pnpm-lock.yaml'), 'utf8')) as Lockfile;
  const parts = [
    `# Third-party notices

What npm installs with Bittern's packages, and what a compiler puts into them. \`pnpm notices\` writes this file from
\`pnpm-lock.yaml\`; a test fails while it is out of date, or if a licence does not permit what is done here.
`,
  ];
  for (const { id, users, platforms } of thirdParties(lockfile, packages)) {
    const folder = join(root, 'node_modules/.pnpm', id.replaceAll('/', '+'), 'node_modules', id.replace(/@[^@]*$/, ''));
    const { license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { license?: string };
    if (license === undefined || !PERMITTED.has(license)) throw new Error(`${id} has the licence ${license}.`);
    const lines = [`## ${id}`, `${license}. ${isCompiler(id) ? 'Compiled into' : 'For'} ${[...users].join(', ')}.`];
    if (platforms.length > 0) lines.push(`In parts for one platform each: ${platforms.join(', ')}.`);
    for (const file of (await readdir(folder))
      .filter((name) => /^(?:licen[cs]e|notice|copying)/i.test(name))
      .toSorted()) {
      const text = (await readFile(join(folder, file), 'utf8')).replaceAll('\r\n', '\n').trim();
      const known = /^Apache License\s+Version 2\.0/.test(text);
      lines.push(known ? `${file}: the text of [LICENSE](LICENSE).` : `\`\`\`text\n${text}\n\`\`\``);
    }
    if (lines.length === (platforms.length > 0 ? 3 : 2)) throw new Error(`${id} has no text of its licence.`);
    parts.push(`${lines.join('\n\n')}\n`);
  }
  if (parts.length === 1) throw new Error('There are no third parties, which cannot be.');
  return parts.join('\n');
}
