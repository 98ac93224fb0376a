import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import ts from 'typescript';

/** A source file of a workspace package, or its package.json. */
export interface WorkspaceFile {
  /** Folder of the package, relative to the root, with `/`: `packages/engine`. */
  readonly folder: string;
  /** Relative to that folder, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** Which workspace packages a package may import; docs of the reasons: `docs/architecture.md`. Apps and tools: any. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  '@bittern/gguf-parser': [],
  '@bittern/tokenizer': [],
  '@bittern/kernels': [],
  '@bittern/crossval': [],
  '@bittern/measure': [],
  '@bittern/receipts': [],
  '@bittern/storyteller': [],
  // Only for the container; it decodes weights itself (docs/decisions/2026-11-23-bridge-gguf.md).
  '@bittern/cpp-bridge': ['@bittern/gguf-parser'],
  '@bittern/engine': ['@bittern/gguf-parser', '@bittern/kernels'],
};
/** The engine knows text only in this part of it. */
const ENGINE_TEXT = /^(?:src|test)\/text(?:\.|\/|-)/;
const APPS_AND_TOOLS = /^(?:apps\/|tools$)/;

/** The workspace's name of the package in a folder, as its package.json gives it. */
function namesByFolder(files: readonly WorkspaceFile[]): Map<string, string> {
  return new Map(
    files
      .filter(({ path }) => path === 'package.json')
      .map(({ folder, text }) => [folder, (JSON.parse(text) as { name: string }).name]),
  );
}

/** `@bittern/gguf-parser/node` is of the package `@bittern/gguf-parser`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Every specifier of a source: static, dynamic, export-from, type and require. */
function specifiersOf(text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName);
}

/**
 * Violations of the import direction, one sentence each; none is an empty list.
 * Throws where there is nothing to check: that is no pass.
 */
export function findViolations(files: readonly WorkspaceFile[]): string[] {
  const names = namesByFolder(files);
  const workspace = new Set(names.values());
  const sources = files.filter(({ path }) => path !== 'package.json');
  if (names.size === 0 || sources.length === 0) throw new Error('There are no packages or no sources to check.');
  const violations: string[] = [];
  for (const { folder, path, text } of files) {
    const name = names.get(folder) ?? folder;
    const where = `${folder}/${path}`;
    const allowed = APPS_AND_TOOLS.test(folder) ? [...workspace] : ALLOWED[name];
    if (allowed === undefined) {
      violations.push(`${where}: ${name} is not in the table of allowed imports`);
      continue;
    }
    if (path === 'package.json') {
      const { dependencies, peerDependencies, optionalDependencies } = JSON.parse(text) as Record<string, object>;
      const dependedOn = Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies });
      const ofText = name === '@bittern/engine' ? ['@bittern/tokenizer'] : [];
      for (const dependency of dependedOn) {
        if (workspace.has(dependency) && ![...allowed, ...ofText].includes(dependency)) {
          violations.push(`${where}: depends on ${dependency}`);
        }
      }
      continue;
    }
    for (const specifier of specifiersOf(text)) {
      if (specifier.startsWith('.') || specifier.startsWith('/')) {
        const target = relative(resolve('/', folder), resolve('/', folder, dirname(path), specifier));
        if (target.startsWith('..')) violations.push(`${where}: "${specifier}" leaves the package`);
        continue;
      }
      const imported = packageOf(specifier);
      if (!workspace.has(imported) || imported === name || allowed.includes(imported)) continue;
      if (name === '@bittern/engine' && imported === '@bittern/tokenizer' && ENGINE_TEXT.test(path)) continue;
      violations.push(`${where}: imports ${specifier}`);
    }
  }
  return violations;
}

/** package.json and every .ts source of the packages, apps and tools. */
export async function readWorkspace(root: string): Promise<WorkspaceFile[]> {
  const folders = ['tools'];
  for (const group of ['packages', 'apps']) {
    for (const entry of await readdir(join(root, group), { withFileTypes: true })) {
      if (entry.isDirectory()) folders.push(`${group}/${entry.name}`);
    }
  }
  const files: WorkspaceFile[] = [];
  for (const folder of folders) {
    for (const path of await listSources(join(root, folder))) {
      files.push({ folder, path, text: await readFile(join(root, folder, path), 'utf8') });
    }
  }
  return files;
}

async function listSources(folder: string): Promise<string[]> {
  const skipped = new Set(['node_modules', 'dist', 'wasm', 'coverage', '.turbo']);
  const found: string[] = [];
  async function walk(at: string): Promise<void> {
    for (const entry of await readdir(at, { withFileTypes: true })) {
      const path = join(at, entry.name);
      if (entry.isDirectory() && !skipped.has(entry.name)) await walk(path);
      if (!entry.isFile()) continue;
      const name = relative(folder, path).split(sep).join('/');
      if (name === 'package.json' || (/\.[cm]?[jt]sx?$/.test(name) && !name.endsWith('.d.ts'))) found.push(name);
    }
  }
  await walk(folder);
  return found;
}
