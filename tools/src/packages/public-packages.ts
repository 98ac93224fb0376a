import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the tools read of a package.json. */
export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A package of the workspace that is published. */
export interface PublicPackage {
  readonly name: string;
  /** Relative to the root, with `/`: `packages/engine`. */
  readonly folder: string;
  readonly manifest: PackageManifest;
  readonly readme: string;
}

/** Every package under `packages/` and `apps/` that is not private, by name. Throws if there is none. */
export async function readPublicPackages(root: string): Promise<readonly PublicPackage[]> {
  const found: PublicPackage[] = [];
  for (const group of ['packages', 'apps']) {
    for (const entry of await readdir(join(root, group), { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const folder = `${group}/${entry.name}`;
      const manifest = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as PackageManifest;
      if (manifest.private === true) continue;
      const readme = await readFile(join(root, folder, 'README.md'), 'utf8');
      found.push({ name: manifest.name, folder, manifest, readme });
    }
  }
  if (found.length === 0) throw new Error(`There is no package to publish in ${root}.`);
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** The names, and with them all packages of the workspace that they need, directly or not. */
export function withDependencies(names: Iterable<string>, packages: readonly PublicPackage[]): ReadonlySet<string> {
  const byName = new Map(packages.map((one) => [one.name, one]));
  const found = new Set<string>();
  const visit = (name: string): void => {
    const one = byName.get(name);
    if (one === undefined || found.has(name)) return;
    found.add(name);
    const { dependencies, optionalDependencies } = one.manifest;
    for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies })) visit(dependency);
  };
  for (const name of names) visit(name);
  return found;
}
