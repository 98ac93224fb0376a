import { join, relative, sep } from 'node:path';
import ts from 'typescript';
import type { PublicPackage } from './public-packages.ts';

/** Where the report of a package is kept, relative to the root. */
export function reportFile({ folder }: PublicPackage): string {
  return `tools/api/${folder.split('/').at(-1)}.api.md`;
}

/** The sub-paths that have types, with the declarations of the built package. */
function entriesOf(root: string, { name, folder, manifest }: PublicPackage): ReadonlyMap<string, string> {
  const entries = new Map<string, string>();
  for (const [path, target] of Object.entries(manifest.exports ?? {})) {
    if (typeof target === 'string') continue;
    entries.set(`${name}${path.slice(1)}`, join(root, folder, target['types']!));
  }
  return entries;
}

/**
 * The public API of built packages as text, by package; without an entry, one that exports nothing. A report has every
 * exported declaration without comments, by name, and those that it reaches in the package without exporting them: a
 * change of any type that a user can come upon changes the text. The files and their order do not.
 */
export function apiReports(root: string, packages: readonly PublicPackage[]): ReadonlyMap<PublicPackage, string> {
  const entries = new Map(packages.map((one) => [one, entriesOf(root, one)]));
  const program = ts.createProgram({
    rootNames: [...entries.values()].flatMap((files) => [...files.values()]),
    options: {
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2024.d.ts', 'lib.dom.d.ts', 'lib.dom.asynciterable.d.ts', 'lib.esnext.disposable.d.ts'],
      types: [],
      strict: true,
      noEmit: true,
    },
  });
  const reports = new Map<PublicPackage, string>();
  for (const [one, files] of entries) if (files.size > 0) reports.set(one, reportOf(program, root, one, files));
  return reports;
}

function reportOf(
  program: ts.Program,
  root: string,
  { name, folder }: PublicPackage,
  files: ReadonlyMap<string, string>,
): string {
  const checker = program.getTypeChecker();
  const printer = ts.createPrinter({ removeComments: true });
  const own = join(root, folder) + sep;
  const targetOf = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const isOwn = (node: ts.Node): boolean => {
    const { fileName } = node.getSourceFile();
    return fileName.startsWith(own) && !fileName.slice(own.length).startsWith('node_modules');
  };

  const exported = new Set<ts.Symbol>();
  const reached = new Set<ts.Symbol>();
  /** Top-level declarations of the package that a declaration names, and those that these name. */
  const reach = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const found = checker.getSymbolAtLocation(node);
      const symbol = found && targetOf(found);
      const declarations =
        symbol?.declarations?.filter((of) => isOwn(of) && ts.isSourceFile(statementOf(of).parent)) ?? [];
      if (symbol !== undefined && declarations.length > 0 && !exported.has(symbol) && !reached.has(symbol)) {
        reached.add(symbol);
        for (const declaration of declarations) reach(declaration);
      }
    }
    ts.forEachChild(node, reach);
  };
  const textOf = (symbol: ts.Symbol): string => {
    const statements = new Set((symbol.declarations ?? []).filter(isOwn).map(statementOf));
    return Array.from(statements, (statement) =>
      printer.printNode(ts.EmitHint.Unspecified, statement, statement.getSourceFile()).replace(/^export /, ''),
    ).join('\n');
  };

  const sections: [title: string, symbols: ReadonlyMap<string, ts.Symbol>][] = [];
  for (const [entry, file] of files) {
    const source = program.getSourceFile(file);
    const module = source && checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`There is no module ${file}. Build the packages first: pnpm build.`);
    const symbols = new Map(checker.getExportsOfModule(module).map((symbol) => [symbol.name, targetOf(symbol)]));
    if (symbols.size === 0) throw new Error(`${file} exports nothing.`);
    for (const symbol of symbols.values()) exported.add(symbol);
    sections.push([entry, symbols]);
  }
  for (const symbol of exported) for (const of of symbol.declarations ?? []) if (isOwn(of)) reach(of);
  if (reached.size > 0) {
    sections.push(['Reached, but not exported', new Map(Array.from(reached, (symbol) => [symbol.name, symbol]))]);
  }

  const parts = [
    `# ${name}\n\nThe public API, as the built declarations have it. \`pnpm api-report\` writes this file; a test fails while it differs.\n`,
  ];
  for (const [title, symbols] of sections) {
    const lines: string[] = [];
    for (const [as, symbol] of Array.from(symbols).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const declaration = symbol.declarations?.[0];
      if (declaration === undefined) throw new Error(`${title}: ${as} is declared nowhere.`);
      if (isOwn(declaration)) lines.push(symbol.name === as ? textOf(symbol) : `// as ${as}\n${textOf(symbol)}`);
      else lines.push(`export { ${as} } from '${packageOf(relative(root, declaration.getSourceFile().fileName))}';`);
    }
    parts.push(`## ${title}\n\n\`\`\`ts\n${lines.join('\n\n')}\n\`\`\`\n`);
  }
  return parts.join('\n');
}

/** The statement of a declaration: that of a variable is two levels up. */
function statementOf(declaration: ts.Node): ts.Node {
  return ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
}

/** `packages/kernels/dist/index.d.ts` is of `packages/kernels`, `…/node_modules/a/b.d.ts` of `a`. */
function packageOf(file: string): string {
  const path = file.split(sep).join('/');
  return path.split('node_modules/').at(-1)!.split('/').slice(0, 2).join('/');
}
