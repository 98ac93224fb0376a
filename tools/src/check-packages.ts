// Whether the packages can be published: packs each that is not private, installs the tarballs in an empty project, and
// there looks at what was packed and runs what its README shows, in every version of Node and, bundled with vite, in a
// page. Prints a line for each check, and `N passed, N failed` at the end.
//
//   pnpm check:packages [NAME…]
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { problemsOfContents } from './packages/contents.ts';
import { makeEmptyProject } from './packages/empty-project.ts';
import { commandsOf, type Example, examplesOf, importsOf } from './packages/examples.ts';
import { nodeVersions } from './packages/node-versions.ts';
import { bundleExamples, openBrowser, runBundles } from './packages/pages.ts';
import { type PublicPackage, readPublicPackages, withDependencies } from './packages/public-packages.ts';
import { run } from './packages/run.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ATTW = fileURLToPath(new URL('dist/index.js', import.meta.resolve('@arethetypeswrong/cli/package.json')));
const MODEL = join(ROOT, 'packages/storyteller/model/storyteller.i2_s.gguf');
/** They start programs or read clocks; every other package has an example that runs in a page. */
const NODE_ONLY = new Set(['@bittern/cli', '@bittern/cpp-bridge', '@bittern/measure']);
/** Packages that are checked at a time. */
const WORKERS = 2;

const start = performance.now();
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const work = await mkdtemp(join(tmpdir(), 'bittern-packages-'));
let passed = 0;
let failed = 0;

/** Tells of one check; undefined if it failed. */
async function check<T>(name: string, body: () => Promise<T>): Promise<T | undefined> {
  const since = performance.now();
  try {
    const result = await body();
    passed += 1;
    console.log(`ok      ${name} (${seconds(since)})`);
    return result;
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

const projectOf = ({ name }: PublicPackage): string => join(work, name.replaceAll(/\W+/g, '-').slice(1));

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new Error(problems.join('; '));
}

/** @returns paths of the tarballs by name, with versions in place of `workspace:` and `catalog:` */
async function pack(packages: readonly PublicPackage[]): Promise<ReadonlyMap<string, string>> {
  const { packageManager } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Record<string, string>;
  const filters = packages.flatMap(({ name }) => ['--filter', name]);
  const parameters = ['-y', packageManager!, '-r', ...filters, 'pack', '--json', '--pack-destination', work];
  const { stdout } = await run('npx', parameters, { cwd: ROOT });
  const packed = JSON.parse(stdout) as { readonly name: string; readonly filename: string }[];
  const tarballs = new Map(packed.map(({ name, filename }) => [name, filename]));
  refuse(packages.filter(({ name }) => !tarballs.has(name)).map(({ name }) => `${name} was not packed`));
  return tarballs;
}

/** What the README says, else anything: an example that shows nothing is none. */
function expectOutput({ line, output }: Example, printed: string): void {
  if (output === undefined ? printed.trim() === '' : printed.trimEnd() !== output.trimEnd()) {
    throw new Error(`README line ${line} printed ${JSON.stringify(printed)}, expected ${JSON.stringify(output)}`);
  }
}

async function checkSize(name: string, tarball: string): Promise<void> {
  const limits = JSON.parse(await readFile(new URL('../package-sizes.json', import.meta.url), 'utf8'));
  const limit = limits[name] as number | undefined;
  const { size } = await stat(tarball);
  if (!(size <= limit!)) throw new Error(`${size} bytes; tools/package-sizes.json allows ${limit}`);
}

async function checkPublint(folder: string): Promise<void> {
  const { messages, pkg } = await publint({ pkgDir: folder, pack: false, strict: true });
  refuse(messages.map((message) => formatMessage(message, pkg, { color: false }) ?? message.code));
}

/** Every sub-path that package.json names, imported by its name from another package. */
function importEverything({ name, manifest }: PublicPackage): string {
  const paths = Object.keys(manifest.exports ?? {}).map((path) => `${name}${path.slice(1)}`);
  const imports = paths.map((path) =>
    path.endsWith('.json') ? `import('${path}', { with: { type: 'json' } })` : `import('${path}')`,
  );
  return `for (const { length } of (await Promise.all([${imports.join(', ')}])).map(Object.keys)) {
    if (length === 0) throw new Error('a sub-path exports nothing');
  }`;
}

/** @returns the examples that are to be run in a page */
async function checkPackage(
  one: PublicPackage,
  packages: readonly PublicPackage[],
  tarballs: ReadonlyMap<string, string>,
): Promise<readonly Example[]> {
  const { name, readme } = one;
  const project = projectOf(one);
  const installed = join(project, 'node_modules', name);
  const nodes = nodeVersions();
  await check(`${name}: size of the tarball`, () => checkSize(name, tarballs.get(name)!));
  const examples = await check(`${name}: README has examples`, async () => {
    const found = examplesOf(readme);
    if (one.manifest.bin === undefined && !found.some(({ inNode }) => inNode)) throw new Error('none for Node');
    if (one.manifest.bin !== undefined && commandsOf(readme).length === 0) throw new Error('no commands');
    if (!NODE_ONLY.has(name) && !found.some(({ inPage }) => inPage)) throw new Error('none for a page');
    return found;
  });
  if (examples === undefined) return [];
  const needed = withDependencies([name, ...examples.flatMap(({ code }) => importsOf(code))], packages);
  const files = Array.from(needed, (needs) => tarballs.get(needs)!);
  const folders = ['public', ...[...nodes.keys()].map(folderOf)];
  await check(`${name}: installs in an empty project`, async () =>
    makeEmptyProject(project, files, folders, await exampleFiles(one)),
  );
  await check(`${name}: what was packed`, async () => refuse(await problemsOfContents(installed)));
  await check(`${name}: publint`, () => checkPublint(installed));
  if (Object.values(one.manifest.exports ?? {}).some((target) => typeof target !== 'string')) {
    await check(`${name}: attw`, () =>
      run(process.execPath, [ATTW, tarballs.get(name)!, '--profile', 'esm-only'], { cwd: work }),
    );
  }

  for (const [major, node] of nodes) {
    const cwd = join(project, folderOf(major));
    await check(`${name}: every sub-path in Node ${major}`, () =>
      run(node, ['--input-type=module', '--eval', importEverything(one)], { cwd }),
    );
    for (const example of examples.filter(({ inNode }) => inNode)) {
      await check(`${name}: README line ${example.line} in Node ${major}`, async () => {
        const file = join(cwd, `line-${example.line}.js`);
        await writeFile(file, example.code);
        expectOutput(example, (await run(node, [file], { cwd })).stdout);
      });
    }
    for (const command of one.manifest.bin === undefined ? [] : commandsOf(readme)) {
      await check(`${name}: ${command} in Node ${major}`, async () => {
        const path = [join(project, 'node_modules/.bin'), dirname(node), process.env['PATH']].join(':');
        await run('sh', ['-ec', command], { cwd, env: { ...process.env, PATH: path } });
      });
    }
  }
  return NODE_ONLY.has(name) ? [] : examples.filter(({ inPage }) => inPage);
}

/** What examples find beside them: the small model, and what the package has in `test/example`. */
async function exampleFiles({ folder }: PublicPackage): Promise<ReadonlyMap<string, string>> {
  const own = join(ROOT, folder, 'test/example');
  const names = existsSync(own) ? await readdir(own) : [];
  return new Map([['model.gguf', MODEL], ...names.map((name) => [name, join(own, name)] as const)]);
}

/** Those of the root's README are examples of the packages' own, and so are run with them. */
async function checkRootExamples(packages: readonly PublicPackage[]): Promise<void> {
  const shown = examplesOf(await readFile(join(ROOT, 'README.md'), 'utf8'));
  const known = packages.map(({ name, manifest, readme }) => ({
    name,
    isCommand: manifest.bin !== undefined,
    examples: new Set(examplesOf(readme).map(({ code }) => code)),
  }));
  refuse([
    ...shown
      .filter(({ code }) => !known.some(({ examples }) => examples.has(code)))
      .map(({ line }) => `README.md:${line} is in no README of a package`),
    ...known
      .filter(({ isCommand, examples }) => !isCommand && !shown.some(({ code }) => examples.has(code)))
      .map(({ name }) => `README.md shows no example of ${name}`),
  ]);
}

/** Each version has a folder of its own: examples write files. */
const folderOf = (major: number): string => `node-${major}`;

async function checkPages(one: PublicPackage, examples: readonly Example[], browser: Browser): Promise<void> {
  const project = projectOf(one);
  await check(`${one.name}: bundled with vite`, () => bundleExamples(project, examples));
  await check(`${one.name}: ${examples.length} example(s) in a page`, async () => {
    const outputs = await runBundles(browser, project, examples);
    for (const [index, example] of examples.entries()) expectOutput(example, outputs[index]!);
  });
}

try {
  await mkdir(work, { recursive: true });
  const packages = await readPublicPackages(ROOT);
  const only = new Set(process.argv.slice(2));
  refuse([...only].filter((name) => !packages.some((one) => one.name === name)).map((name) => `There is no ${name}`));
  const tarballs = await check(`${packages.length} packages are packed`, () => pack(packages));
  if (tarballs !== undefined) {
    await check('the README shows an example of each package that is run', () => checkRootExamples(packages));
    const chosen = packages.filter(({ name }) => only.size === 0 || only.has(name));
    const queue = chosen.values();
    const inPage = new Map<PublicPackage, readonly Example[]>();
    const worker = async (): Promise<void> => {
      for (const one of queue) inPage.set(one, await checkPackage(one, packages, tarballs));
    };
    await Promise.all(Array.from({ length: WORKERS }, worker));
    const browser = await check('Chromium starts', openBrowser);
    if (browser !== undefined) {
      for (const [one, examples] of inPage) if (examples.length > 0) await checkPages(one, examples, browser);
      await browser.close();
    }
  }
} finally {
  await rm(work, { recursive: true });
}
console.log(`Node ${[...nodeVersions().keys()].join(', ')} and Chromium; ${seconds(start)}.`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
